// An encoder's tensors under the names the papers use, checked against its hyper-parameters.
//
// Lifetime: views into the file, which must outlive them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/status.h"
#include "engine/encoder/config.h"
#include "engine/gguf/file.h"
#include "engine/ops/matmul.h"

namespace wenqu::engine {

struct Affine {
  ops::Matrix matrix;
  std::vector<float> bias;   // empty: none
  explicit operator bool() const { return static_cast<bool>(matrix); }
};

struct Norm {
  std::vector<float> weight, bias;
};

struct EncoderLayer {
  Affine q, k, v, attention_output;
  Norm attention_norm;
  Affine up, down;
  Norm output_norm;
};

// What turns the first token's state into scores: tanh(dense x), where there is a dense, then the output.
struct ClassificationHead {
  Affine dense, output;
};

struct EncoderWeights {
  ops::Matrix token_embedding, position_embedding, type_embedding;   // no types: none
  Norm embedding_norm;
  std::vector<EncoderLayer> layers;
  ClassificationHead head;   // with Pooling::rank
};

// Sets config.vocabulary. Errors: corrupt (a missing or misshapen tensor, by name), unsupported (its type).
Result<EncoderWeights> load_encoder_weights(const gguf::File& file, EncoderConfig& config);

// The head of a file with Pooling::rank, of states of `width` numbers; its output has one row or more.
Result<ClassificationHead> load_classification_head(const gguf::File& file, uint64_t width);

}  // namespace wenqu::engine
