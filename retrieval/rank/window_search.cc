#include "retrieval/rank/window_search.h"

#include <algorithm>
#include <array>

namespace wenqu::retrieval {
namespace {

constexpr int32_t kWindow = 8192;       // passages; their sums fit the nearest cache
constexpr int32_t kGroup = 16;
constexpr int kWindowsBetweenLooks = 16;  // at the cancel token

// A term as it stands in one window.
struct Part {
  TermCursor* term = nullptr;
  TermCursor::Outlook outlook;
};

struct Sums {
  std::array<uint32_t, kWindow> units{};
  std::array<uint8_t, kWindow / kGroup> touched{};
};

// Whether one of a group does. Sums and thresholds are far below the sign (ranking.cc).
bool reaches(const uint32_t* units, uint32_t needed) {
  int32_t any = 0;
  for (int32_t i = 0; i < kGroup; ++i) any |= static_cast<int32_t>(units[i]) >= static_cast<int32_t>(needed) ? 1 : 0;
  return any != 0;
}

// Puts the terms that are only looked up in front, the strongest last, and gives how many they are. They are chosen
// so that the most postings stay unread for the least of the threshold.
size_t part_terms(std::vector<Part>& parts, uint32_t threshold, uint64_t& looked_up_bound) {
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
    return uint64_t{a.outlook.bound} * b.outlook.postings < uint64_t{b.outlook.bound} * a.outlook.postings;
  });
  looked_up_bound = 0;
  const auto middle = std::stable_partition(parts.begin(), parts.end(), [&](const Part& part) {
    if (looked_up_bound + part.outlook.bound >= threshold) return false;
    looked_up_bound += part.outlook.bound;
    return true;
  });
  std::sort(parts.begin(), middle, [](const Part& a, const Part& b) { return a.outlook.bound < b.outlook.bound; });
  return static_cast<size_t>(middle - parts.begin());
}

// Adds what the first `count` parts give to the candidates, and leaves out those that cannot reach the threshold.
void look_up(std::vector<Part>& parts, size_t count, uint64_t rest, uint32_t threshold,
             std::vector<BestPassages::Candidate>& candidates) {
  for (size_t i = count; i-- > 0 && !candidates.empty();) {
    TermCursor& term = *parts[i].term;
    rest -= parts[i].outlook.bound;
    size_t kept = 0;
    for (BestPassages::Candidate candidate : candidates) {
      const uint64_t without = candidate.units + rest;
      candidate.units += term.units_of(candidate.doc, without < threshold ? static_cast<uint32_t>(threshold - without) : 0);
      if (candidate.units + rest >= threshold) candidates[kept++] = candidate;
    }
    candidates.resize(kept);
  }
}

}  // namespace

Status WindowSearch::run(std::vector<TermCursor>& terms, BestPassages& best, const CancelToken& cancel) {
  Sums sums;
  std::vector<Part> parts;
  std::vector<BestPassages::Candidate> candidates;
  int window = 0;
  const int32_t last = std::min(end, segment.size);
  for (int32_t first = begin; first < last; first += std::min(kWindow, last - first)) {
    if (window++ % kWindowsBetweenLooks == 0) WENQU_RETURN_IF_ERROR(cancel.status());
    const int32_t after = std::min(last - first, kWindow) + first;
    parts.clear();
    for (TermCursor& term : terms)
      if (const TermCursor::Outlook outlook = term.outlook(first, after); outlook.bound > 0) parts.push_back({&term, outlook});
    if (parts.empty()) continue;
    uint64_t looked_up_bound = 0;
    const size_t looked_up = may_skip ? part_terms(parts, best.threshold(), looked_up_bound) : 0;
    for (size_t i = looked_up; i < parts.size(); ++i) parts[i].term->add(first, after, sums.units.data(), sums.touched.data());
    const uint32_t needed =
        may_skip && best.threshold() > looked_up_bound ? static_cast<uint32_t>(best.threshold() - looked_up_bound) : 1;
    candidates.clear();
    for (int32_t group = 0; group < kWindow / kGroup; ++group) {
      if (!sums.touched[static_cast<size_t>(group)]) continue;
      sums.touched[static_cast<size_t>(group)] = 0;
      uint32_t* const units = &sums.units[static_cast<size_t>(group * kGroup)];
      if (!reaches(units, needed)) {
        std::fill_n(units, kGroup, 0u);
        continue;
      }
      for (int32_t i = 0; i < kGroup; ++i) {
        const int32_t doc = first + group * kGroup + i;
        if (units[i] < needed || !is_wanted(doc)) continue;
        ++met;
        candidates.push_back({doc, units[i]});
      }
      std::fill_n(units, kGroup, 0u);
    }
    look_up(parts, looked_up, looked_up_bound, best.threshold(), candidates);
    for (const BestPassages::Candidate& candidate : candidates) best.add(segment.base + candidate.doc, candidate.units);
  }
  return {};
}

}  // namespace wenqu::retrieval
