// The forward pass of an encoder: all tokens of a text through all layers, each seeing every other.
//
//   h = norm(embedding[token] + embedding[position] + embedding[type])
//   for each layer: h = norm(h + attention(h)); h = norm(h + down(gelu(up(h))))
//
// What a text gives does not depend on the number of threads nor on the texts of its batch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/encoder/config.h"
#include "engine/encoder/weights.h"
#include "engine/ops/compute.h"
#include "engine/ops/numbers.h"
#include "engine/tokenizer/tokenizer.h"

namespace wenqu::engine {

struct EncoderText {
  std::vector<TokenId> tokens;   // ids below the vocabulary; 1 to config.context of them
  size_t second = SIZE_MAX;      // the first token of the second segment, if there is one
};

// `states`: [tokens of all texts, one text after the other][embedding]. Errors: cancelled, deadline_exceeded,
// out_of_memory.
Status encode(const ops::Compute& compute, const EncoderConfig& config, const EncoderWeights& weights,
              std::span<const EncoderText> texts, ops::Floats& states);

// The head's outputs for one state. Errors: as above.
Result<std::vector<float>> classify(const ops::Compute& compute, const ClassificationHead& head, std::span<const float> state);

}  // namespace wenqu::engine
