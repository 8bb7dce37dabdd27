// The part of BM25 that depends only on the length of a field.
#pragma once

#include "retrieval/index/posting_list.h"
#include "retrieval/index/snapshot.h"
#include "retrieval/rank/bm25.h"

namespace wenqu::retrieval {

// k1 * (1 - b + b * length / average) for each length code.
LengthTable length_table(const Snapshot& snapshot, const RankingParameters& ranking, TermField field);

}  // namespace wenqu::retrieval
