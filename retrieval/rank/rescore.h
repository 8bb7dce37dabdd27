// The second look: of the best passages by their own words, which are the best by all that is known.
//
//   score(p) = prior(source of p) * (1 + freshness * 2^(-age / half life)) * e^look(p) * (s(p) + document * s(D))
//
// where s(p) is the sum of rank/bm25.h over the passage, and s(D) the same over the whole document D of
// the passage, as if it were one long passage: a document that speaks of all the question asks is a
// better place to look than a sentence that happens to share its words; it is taken of the best second_stage() passages. look(p) is what the passage's text tells
// (rank/closer_look.h), weighed by RankingParameters::signals: of the best `rescored` passages only, which it orders
// anew; no other comes before them. It is 0 for a question without Chinese characters: an English one is better served
// by the whole document.
//
// Thread safety: pure but for reading the snapshot; one thread at a time for a reader.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/index/passage_reader.h"
#include "retrieval/query/question_terms.h"
#include "retrieval/rank/closer_look.h"
#include "retrieval/rank/ranking.h"
#include "retrieval/ranking_parameters.h"

namespace wenqu::retrieval {

// How many of the first stage's passages get a second look: always so many, so that the pages of one search are cut from one list.
size_t second_stage(const RankingParameters& parameters);

// What a closer look at `passages` together finds, in their order. Errors: as rank_passages().
Result<std::vector<Signals>> find_signals(PassageReader& reader, std::string_view question, const std::vector<QuestionTerm>& terms,
                                          std::span<const ScoredPassage> passages, const CancelToken& cancel);

// Gives `passages` their final scores and order: the best of the first second_stage() and of those beside them, then the others as the first
// stage had them, with lower scores. REQUIRES: best first, second_stage() of them where there are so many. Errors: as rank_passages().
Status rescore(PassageReader& reader, std::string_view question, const std::vector<QuestionTerm>& terms,
               const RankingParameters& parameters, const CancelToken& cancel, std::vector<ScoredPassage>& passages);

}  // namespace wenqu::retrieval
