// Chooses the next token from the logits.
//
// Order: bias and mask, penalties, temperature, top-k, top-p, min-p. That is the vendors' order: top-p sees
// the distribution that the temperature shaped. Ties go to the lower id. The same seed and the same logits
// give the same choice on every machine and thread count.
// Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "base/status.h"

namespace wenqu::engine {

struct SamplingOptions {
  float temperature = 0.6f;   // 0: always the best token
  float top_p = 0.95f;        // in (0, 1]; 1 keeps all
  int32_t top_k = 0;          // 0 keeps all
  float min_p = 0;            // in [0, 1]: drops tokens less probable than this share of the best one's
  uint64_t seed = 0;

  // Above 1: makes tokens that stand in the prompt or were generated less likely (Keskar et al. 2019):
  // positive logits are divided by it, negative ones multiplied.
  float repetition_penalty = 1;
  // Taken off the logit of every generated token, once and for each time it was generated.
  float presence_penalty = 0;
  float frequency_penalty = 0;

  std::vector<std::pair<int32_t, float>> logit_bias;   // added; -INFINITY forbids a token

  // May change the logits before all else, as a grammar does that allows some tokens only (the others
  // become -INFINITY). Called on the sampling thread.
  std::function<void(std::span<float> logits)> mask;
};

// The tokens so far, for the penalties.
struct SamplingHistory {
  std::span<const int32_t> prompt;
  std::span<const int32_t> generated;
};

class Sampler {
 public:
  // Errors: invalid_argument, naming the field (NaN, out of range).
  static Result<Sampler> create(const SamplingOptions& options);

  // NaN counts as minus infinity. Errors: corrupt, when no logit is finite; invalid_argument, when bias and
  // mask leave no token.
  Result<int32_t> sample(std::span<const float> logits, const SamplingHistory& history = {});

 private:
  explicit Sampler(const SamplingOptions& options) : options_(options), state_(options.seed) {}
  bool changes_logits() const;
  void change(std::span<float> logits, const SamplingHistory& history);
  Result<int32_t> choose(std::span<const float> logits);

  SamplingOptions options_;
  uint64_t state_;                 // of a SplitMix64 generator
  std::vector<std::pair<float, int32_t>> candidates_;
  std::vector<float> changed_;     // logits, where options change them
  std::vector<uint8_t> seen_;      // [vocabulary], all 0 between calls
};

}  // namespace wenqu::engine
