#include "retrieval/vectors/embed_texts.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxIdentity = 256, kMaxDimensions = 1 << 16;

Status normalize(std::span<float> vector) {
  double squares = 0;
  for (const float value : vector) squares += static_cast<double>(value) * static_cast<double>(value);
  if (!std::isfinite(squares)) return Status(StatusCode::internal, "the embedding model gave figures that are no numbers");
  const double length = std::sqrt(squares);
  if (length > 0)
    for (float& value : vector) value = static_cast<float>(static_cast<double>(value) / length);
  return {};
}

// These two would say that the document, or the question, is at fault, and cost the document where many are added.
Status as_the_models(const Status& refused) {
  if (refused.code() != StatusCode::invalid_argument && refused.code() != StatusCode::limit_exceeded) return refused;
  return Status(StatusCode::io_error, "the embedding model refuses: " + refused.message(), refused.where());
}

}  // namespace

Status check_embedding_model(const EmbeddingModel& model) {
  if (model.identity.empty() || model.identity.size() > kMaxIdentity)
    return Status(StatusCode::invalid_argument, "an embedding model needs an identity of 1 to 256 bytes", "identity");
  if (model.dimensions == 0 || model.dimensions > kMaxDimensions)
    return Status(StatusCode::invalid_argument, "must be between 1 and 65536", "dimensions");
  return {};
}

Result<std::vector<float>> embed_texts(const EmbeddingModel& model, std::span<const std::string> texts, TextRole role, const CancelToken& cancel) {
  Result<std::vector<float>> embedded = model.embed(texts, role, cancel);
  if (!embedded) return as_the_models(embedded.status());
  std::vector<float> vectors = std::move(*embedded);
  if (vectors.size() != texts.size() * model.dimensions)
    return Status(StatusCode::internal, "the embedding model gave " + std::to_string(vectors.size()) + " numbers for " +
                                            std::to_string(texts.size()) + " texts of " + std::to_string(model.dimensions));
  for (size_t i = 0; i < texts.size(); ++i) WENQU_RETURN_IF_ERROR(normalize({vectors.data() + i * model.dimensions, model.dimensions}));
  return vectors;
}

bool is_zero(std::span<const float> vector) {
  return std::all_of(vector.begin(), vector.end(), [](float value) { return value == 0; });
}

}  // namespace wenqu::retrieval
