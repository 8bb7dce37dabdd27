// Finds the best passages for the terms of a question.
//
// Term at a time: each term's postings are read in blocks and added to one score per passage. For
// indexes of up to some hundred thousand passages nothing else is faster; a million want skipping.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/index/snapshot.h"
#include "retrieval/query/question_terms.h"
#include "retrieval/retriever.h"

namespace wenqu::retrieval {

struct ScoredPassage {
  int32_t doc = 0;   // its number in the snapshot
  float score = 0;
};

struct Ranking {
  std::vector<ScoredPassage> best;  // best first; ties by document id, then ordinal
  size_t total = 0;                 // passages that hold a term
};

// Uses `sources`, `top` and `one_per_document` of the request. Errors: cancelled or
// deadline_exceeded, corrupt, io_error, out_of_memory.
Result<Ranking> rank_passages(const Snapshot& snapshot, const std::vector<QuestionTerm>& terms,
                              const SearchRequest& request, const CancelToken& cancel);

}  // namespace wenqu::retrieval
