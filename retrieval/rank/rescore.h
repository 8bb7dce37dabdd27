// The second look: of the best passages by their own words, which are the best by all that is known.
//
//   score(p) = prior(source of p) * (1 + freshness * 2^(-age / half life)) * (s(p) + document * s(D))
//
// where s(p) is the sum of rank/bm25.h over the passage, and s(D) the same over the whole document D of
// the passage, as if it were one long passage: a document that speaks of all the question asks is a
// better place to look than a sentence that happens to share its words.
//
// Thread safety: pure but for reading the snapshot.
#pragma once

#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/index/snapshot.h"
#include "retrieval/query/question_terms.h"
#include "retrieval/rank/ranking.h"
#include "retrieval/ranking_parameters.h"

namespace wenqu::retrieval {

// Gives `passages` their final scores, in the order they stand. Errors: as rank_passages().
Status rescore(const Snapshot& snapshot, const std::vector<QuestionTerm>& terms, const RankingParameters& parameters,
               const CancelToken& cancel, std::vector<ScoredPassage>& passages);

}  // namespace wenqu::retrieval
