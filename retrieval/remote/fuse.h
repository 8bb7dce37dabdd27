// Makes one list of the hits that words and vectors found in a cluster, as hybrid/fusion.h says.
//
// Thread safety: pure.
#pragma once

#include <vector>

#include "retrieval/remote/answers.h"
#include "retrieval/retriever.h"

namespace wenqu::retrieval {

// `by_words`: best first; `by_vector`: in any order. Best first; ties by document id, then ordinal.
std::vector<RemoteHit> fuse_remote(std::vector<RemoteHit> by_words, std::vector<RemoteHit> by_vector, const SearchRequest& request);

}  // namespace wenqu::retrieval
