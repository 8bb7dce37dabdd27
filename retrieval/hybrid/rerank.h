// Has a model look at the best hits again. Thread safety: as the function is.
#pragma once

#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/embed.h"
#include "retrieval/retriever.h"

namespace wenqu::retrieval {

// Errors: invalid_argument (out of range).
Status check_hybrid(const HybridOptions& options);

// Whether the request's best hits are ranked again. Errors: those of check_hybrid(); unsupported, when the request
// insists on it and there is no model.
Result<bool> is_reranked(const RerankFunction& rerank, const HybridOptions& options);

// Puts the first hits in the order that the model gives them, with its scores; those behind keep their order.
Status rerank_hits(const RerankFunction& rerank, const SearchRequest& request, const CancelToken& cancel, std::vector<Hit>& hits);

}  // namespace wenqu::retrieval
