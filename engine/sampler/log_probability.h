// How likely the model held a token to be: the logarithm of the softmax over all logits, as the model gave
// them, before anything the sampler does.
//
// Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace wenqu::engine {

struct TokenProbability {
  int32_t token = -1;
  float log_probability = 0;   // natural logarithm
};

// The chosen token first, then the `count` most likely ones, ties to the lower id; NaN counts as minus
// infinity. REQUIRES: chosen is a place in logits, and some logit is finite.
std::vector<TokenProbability> log_probabilities(std::span<const float> logits, int32_t chosen, size_t count);

}  // namespace wenqu::engine
