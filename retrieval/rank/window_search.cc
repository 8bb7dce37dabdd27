#include "retrieval/rank/window_search.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace wenqu::retrieval {
namespace {

constexpr int32_t kWindow = 8192;         // passages; their sums fit the nearest cache
constexpr int32_t kGroup = 32;            // passages passed over together
constexpr int kWindowsBetweenLooks = 16;  // at the cancel token
constexpr uint64_t kLookedUpPercent = 60;  // of the threshold, at most

using Candidate = BestPassages::Candidate;

// A term as it stands in one window.
struct Part {
  TermCursor* term = nullptr;
  TermCursor::Outlook outlook;
};

// Whether one of a group does. Sums and thresholds are far below the sign (ranking.cc).
bool reaches(const uint32_t* units, uint32_t needed) {
  int32_t any = 0;
  for (int32_t i = 0; i < kGroup; ++i) any |= static_cast<int32_t>(units[i]) >= static_cast<int32_t>(needed) ? 1 : 0;
  return any != 0;
}

// Writes the passages in [first, after) with as much as is needed, and gives how many they are.
size_t collect(const std::array<uint32_t, kWindow>& sums, int32_t first, int32_t after, uint32_t needed, Candidate* candidates) {
  size_t found = 0;
  for (int32_t group = 0; group < after - first; group += kGroup) {
    const uint32_t* const units = &sums[static_cast<size_t>(group)];
    if (!reaches(units, needed)) continue;
    // Which it is cannot be guessed, so nothing branches on it.
    for (int32_t i = 0; i < kGroup; ++i) {
      candidates[found] = {first + group + i, units[i]};
      found += units[i] >= needed ? 1 : 0;
    }
  }
  return found;
}

// Puts the terms that are only looked up in front, the strongest last, and gives how many they are. They are chosen
// so that the most postings stay unread for the least of the threshold; and not for all of it, or hardly anything that is
// added up would be left out before it is looked up.
size_t part_terms(std::vector<Part>& parts, uint32_t threshold, uint64_t& looked_up_bound) {
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
    return uint64_t{a.outlook.bound} * b.outlook.postings < uint64_t{b.outlook.bound} * a.outlook.postings;
  });
  looked_up_bound = 0;
  size_t count = 0;
  for (Part& part : parts) {
    if (looked_up_bound + part.outlook.bound >= uint64_t{threshold} * kLookedUpPercent / 100) continue;
    looked_up_bound += part.outlook.bound;
    std::swap(part, parts[count++]);
  }
  std::sort(parts.begin(), parts.begin() + static_cast<ptrdiff_t>(count), [](const Part& a, const Part& b) { return a.outlook.bound < b.outlook.bound; });
  return count;
}

// Adds what the first `count` parts give to the candidates, leaves out those that cannot reach the threshold, and gives how
// many are left.
size_t look_up(std::vector<Part>& parts, size_t count, uint64_t rest, uint32_t threshold, std::span<Candidate> candidates) {
  for (size_t i = count; i-- > 0 && !candidates.empty();) {
    TermCursor& term = *parts[i].term;
    rest -= parts[i].outlook.bound;
    size_t kept = 0;
    for (Candidate candidate : candidates) {
      const uint64_t without = candidate.units + rest;
      candidate.units += term.units_of(candidate.doc, without < threshold ? static_cast<uint32_t>(threshold - without) : 0);
      // Which stay cannot be guessed, so nothing branches on it.
      candidates[kept] = candidate;
      kept += candidate.units + rest >= threshold ? 1 : 0;
    }
    candidates = candidates.first(kept);
  }
  return candidates.size();
}

}  // namespace

Status WindowSearch::run(std::vector<TermCursor>& terms, BestPassages& best, const CancelToken& cancel) {
  std::array<uint32_t, kWindow> sums{};
  std::vector<Part> parts;
  const int32_t last = std::min(end, segment.size);
  std::vector<Candidate> candidates(static_cast<size_t>(std::clamp(last - begin, 0, kWindow)) + kGroup);
  int window = 0;
  for (int32_t first = begin; first < last; first += std::min(kWindow, last - first)) {
    if (window++ % kWindowsBetweenLooks == 0) WENQU_RETURN_IF_ERROR(cancel.status());
    const int32_t after = std::min(last - first, kWindow) + first;
    parts.clear();
    uint64_t bound = 0;
    for (TermCursor& term : terms) {
      const TermCursor::Outlook outlook = term.outlook(first, after);
      if (outlook.bound > 0) parts.push_back({&term, outlook});
      bound += outlook.bound;
    }
    if (parts.empty() || (may_skip && bound < best.threshold())) continue;
    uint64_t looked_up_bound = 0;
    const size_t looked_up = may_skip ? part_terms(parts, best.threshold(), looked_up_bound) : 0;
    for (size_t i = looked_up; i < parts.size(); ++i) parts[i].term->add(first, after, sums.data());
    const uint32_t needed =
        may_skip && best.threshold() > looked_up_bound ? static_cast<uint32_t>(best.threshold() - looked_up_bound) : 1;
    std::span<Candidate> left(candidates.data(), collect(sums, first, after, needed, candidates.data()));
    std::fill_n(sums.begin(), after - first, 0u);
    if (among || segment.deletions) {
      const auto end_of_wanted = std::remove_if(left.begin(), left.end(), [&](const Candidate& candidate) { return !is_wanted(candidate.doc); });
      left = left.first(static_cast<size_t>(end_of_wanted - left.begin()));
    }
    met += left.size();
    left = left.first(look_up(parts, looked_up, looked_up_bound, best.threshold(), left));
    for (const Candidate& candidate : left) best.add(segment.base + candidate.doc, candidate.units);
  }
  return {};
}

}  // namespace wenqu::retrieval
