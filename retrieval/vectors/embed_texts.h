// What an embedding model makes of texts, held to what it promises.
//
// Thread safety: as the model is.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/embed.h"

namespace wenqu::retrieval {

// Errors: invalid_argument (a model that cannot be meant).
Status check_embedding_model(const EmbeddingModel& model);

// The texts' vectors one after the other, [texts][dimensions], each of length 1, or 0 where the model gives that.
// Errors: those of the model, io_error in the place of those that tell of a caller's fault; internal, when it gives another
// number of figures, or some that are no numbers.
Result<std::vector<float>> embed_texts(const EmbeddingModel& model, std::span<const std::string> texts, TextRole role, const CancelToken& cancel);

// Whether it has no direction.
bool is_zero(std::span<const float> vector);

}  // namespace wenqu::retrieval
