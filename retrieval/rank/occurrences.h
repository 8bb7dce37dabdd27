// Says how often each term of a question stands in given passages: what a second stage of ranking, which looks at few
// passages or documents more closely, needs to know of them. Postings of other passages are skipped.
#pragma once

#include <cstdint>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/index/schema.h"
#include "retrieval/index/snapshot.h"
#include "retrieval/query/question_terms.h"

namespace wenqu::retrieval {

// Neighbouring passages [begin, end), by their numbers in the snapshot; records among them hold nothing.
struct PassageRun {
  int32_t begin = 0;
  int32_t end = 0;
};

// The passages of the document that passage `doc` belongs to. REQUIRES: doc is a passage
PassageRun passages_of_document(const Snapshot& snapshot, int32_t doc);

struct Occurrence {
  int32_t doc = 0;          // the passage
  uint32_t term = 0;        // its place among the terms asked for
  TermField field{};
  uint32_t frequency = 0;   // at least 1
  bool operator==(const Occurrence&) const = default;
};

// In the order of passages, then terms, then fields. Deleted passages may be among them. REQUIRES: runs are in
// order, do not overlap and are of the snapshot. Errors: cancelled or deadline_exceeded, corrupt, io_error,
// out_of_memory.
Result<std::vector<Occurrence>> gather_occurrences(const Snapshot& snapshot, const std::vector<QuestionTerm>& terms,
                                                   const std::vector<PassageRun>& runs, const CancelToken& cancel);

}  // namespace wenqu::retrieval
