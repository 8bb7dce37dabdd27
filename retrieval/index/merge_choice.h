// Which neighbouring segments should become one. Pure.
//
// Segments of about the same size are merged ten at a time, so that there are at most about ten of each size, and
// each document is written again as often as the index has grown tenfold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace wenqu::retrieval {

enum class MergeWish {
  as_needed,   // so that segments stay few
  when_idle,   // towards one segment, as long as what is written again is not much more than what is new
  one,         // to one segment
};

struct SegmentSize {
  uint64_t bytes = 0;
  uint32_t documents = 0;
  uint32_t deleted = 0;
};

// The segments [begin, end).
struct MergeChoice {
  size_t begin = 0;
  size_t end = 0;
};

std::optional<MergeChoice> choose_merge(const std::vector<SegmentSize>& segments, size_t factor, MergeWish wish);

}  // namespace wenqu::retrieval
