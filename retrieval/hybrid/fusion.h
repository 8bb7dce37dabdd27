// Makes one order of what words found and what vectors found.
//
// By ranks: a passage's score is the sum of weight / (60 + rank) over the lists it stands in (reciprocal-rank fusion,
// Cormack, Clarke, Buettcher 2009), which needs nothing to be known about scores. By scores: the weighed sum of each
// list's scores, put between 0 and 1 by its least and its greatest.
//
// Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "retrieval/rank/ranking.h"
#include "retrieval/retriever.h"

namespace wenqu::retrieval {

// Both lists best first. `group` says what counts as the same: the passage, or its document, for which the passage of
// the first list that has it stands. The result is in no order.
std::vector<ScoredPassage> fuse(const std::vector<ScoredPassage>& lexical, const std::vector<ScoredPassage>& dense,
                                const HybridOptions& options, const std::function<int32_t(int32_t)>& group);

}  // namespace wenqu::retrieval
