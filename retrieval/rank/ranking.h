// Finds the best passages for the terms of a question: the first stage of a search, over the whole index.
//
// The score of a passage is the sum of BM25 over terms and fields. What is found is exactly the best of all
// passages, with exactly the same scores, by whatever method; when the terms have many postings, those that cannot
// matter are not read, and the number of matches is estimated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/index/passage_set.h"
#include "retrieval/index/snapshot.h"
#include "retrieval/query/question_terms.h"
#include "retrieval/ranking_parameters.h"

namespace wenqu::retrieval {

struct RankRequest {
  RankingParameters parameters;        // of the fields; the rest is rescore()'s
  size_t top = 100;                    // passages wanted, at least 1
  const PassageSet* among = nullptr;   // the passages that may be found; null: all
  bool one_per_document = false;       // each document's best passage only, with a little of its second
  size_t threads = 1;                  // that may search at once, the caller's among them
  enum class Method { by_cost, exhaustive, skipping } method = Method::by_cost;
};

struct ScoredPassage {
  int32_t doc = 0;   // its number in the snapshot
  float score = 0;
};

struct Ranking {
  std::vector<ScoredPassage> best;  // best first; ties by document id, then ordinal
  size_t total = 0;                 // passages (documents, when one is kept of each) that hold a term
  bool total_is_exact = true;       // false: estimated from how many hold each term
};

// Errors: cancelled or deadline_exceeded, corrupt, io_error, out_of_memory.
Result<Ranking> rank_passages(const Snapshot& snapshot, const std::vector<QuestionTerm>& terms,
                              const RankRequest& request, const CancelToken& cancel);

}  // namespace wenqu::retrieval
