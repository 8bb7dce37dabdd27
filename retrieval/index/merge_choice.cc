#include "retrieval/index/merge_choice.h"

#include <algorithm>
#include <cmath>

namespace wenqu::retrieval {
namespace {

// Below it all segments count as of one size.
constexpr double kSmall = 1 << 20;
// So many of these are merged, where the factor is greater: it costs little, and searches look into each.
constexpr size_t kSmallFactor = 4;
// How much smaller than the largest a segment of the same level may be, in powers of the factor.
constexpr double kLevelSpan = 0.75;
// A segment is written again by itself when so much of it is deleted.
constexpr double kMostDeleted = 0.4;
// What is merged when idle may be so many times what comes after it.
constexpr double kIdleShare = 10;

double size_of(const SegmentSize& segment) {
  const double alive = segment.documents == 0
                           ? 0
                           : 1 - static_cast<double>(segment.deleted) / static_cast<double>(segment.documents);
  return static_cast<double>(segment.bytes) * alive;
}

bool is_mostly_deleted(const SegmentSize& segment) {
  return static_cast<double>(segment.deleted) > kMostDeleted * static_cast<double>(segment.documents);
}

std::optional<MergeChoice> choose_as_needed(const std::vector<SegmentSize>& segments, size_t factor) {
  std::vector<double> levels;
  for (const SegmentSize& segment : segments)
    levels.push_back(std::log(std::max(size_of(segment), kSmall)) / std::log(static_cast<double>(factor)));
  // From the largest level down: the segments up to the last one of that level are looked at in tens.
  for (size_t begin = 0; begin < levels.size();) {
    const double most = *std::max_element(levels.begin() + static_cast<ptrdiff_t>(begin), levels.end());
    size_t end = levels.size();
    while (end > begin && levels[end - 1] < most - kLevelSpan) --end;
    const bool small = std::all_of(segments.begin() + static_cast<ptrdiff_t>(begin), segments.begin() + static_cast<ptrdiff_t>(end),
                                   [](const SegmentSize& segment) { return size_of(segment) < kSmall; });
    const size_t wanted = small ? std::min(factor, kSmallFactor) : factor;
    if (end - begin >= wanted) return MergeChoice{begin, std::min(end, begin + factor)};
    begin = end;
  }
  for (size_t i = 0; i < segments.size(); ++i)
    if (is_mostly_deleted(segments[i])) return MergeChoice{i, i + 1};
  return std::nullopt;
}

std::optional<MergeChoice> choose_when_idle(const std::vector<SegmentSize>& segments) {
  double after = 0;
  size_t begin = segments.size();
  for (size_t i = segments.size(); i-- > 0;) {
    const double size = size_of(segments[i]);
    if (i + 1 < segments.size() && size <= kIdleShare * after) begin = i;
    after += size;
  }
  if (begin + 1 >= segments.size()) return std::nullopt;
  return MergeChoice{begin, segments.size()};
}

}  // namespace

std::optional<MergeChoice> choose_merge(const std::vector<SegmentSize>& segments, size_t factor, MergeWish wish) {
  if (segments.empty()) return std::nullopt;
  if (wish == MergeWish::one) {
    if (segments.size() == 1 && segments[0].deleted == 0) return std::nullopt;
    return MergeChoice{0, segments.size()};
  }
  if (const auto needed = choose_as_needed(segments, std::max<size_t>(factor, 2))) return needed;
  return wish == MergeWish::when_idle ? choose_when_idle(segments) : std::nullopt;
}

}  // namespace wenqu::retrieval
