// Finds the best passages of a segment for a set of terms, without reading postings that cannot matter.
//
// The segment is walked in windows of some thousand passages. In each, the terms are parted in two: those whose bounds
// together do not reach the score that is needed by now can lift a passage, but not carry it alone. Only the postings
// of the others are added up; what came near enough is looked up in the rest, the strongest first, until it is in or
// out. (MaxScore of Turtle and Flood, 1995, with the bounds of blocks as in Ding and Suel, 2011.) Scores and order
// are those of adding everything up.
#pragma once

#include <cstdint>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/index/passage_set.h"
#include "retrieval/index/snapshot.h"
#include "retrieval/rank/best_passages.h"
#include "retrieval/rank/term_cursor.h"

namespace wenqu::retrieval {

struct WindowSearch {
  const Snapshot& snapshot;
  const Snapshot::Segment& segment;
  const PassageSet* among = nullptr;   // null: all that are not deleted
  bool may_skip = true;                // false: every posting is read and every passage counted
  int32_t begin = 0;                   // only passages of the segment from here on
  int32_t end = INT32_MAX;             // and below

  // The passages met, of those that may be met; all of them only when !may_skip.
  uint64_t met = 0;

  // Throws what Lucene++ throws. Errors: cancelled.
  Status run(std::vector<TermCursor>& terms, BestPassages& best, const CancelToken& cancel);

 private:
  bool is_wanted(int32_t doc) const {
    if (among) return among->contains(segment.base + doc);
    return !segment.deletions || snapshot.kinds()[static_cast<size_t>(segment.base + doc)] < Snapshot::kRecord;
  }
};

}  // namespace wenqu::retrieval
