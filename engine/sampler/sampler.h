// Chooses the next token from the logits.
//
// Order: temperature, then top-k, then top-p (the vendors' order: top-p sees the distribution that
// the temperature shaped). Ties go to the lower id. The same seed and the same logits give the same
// choice on every machine and thread count.
// Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/status.h"

namespace wenqu::engine {

struct SamplingOptions {
  float temperature = 0.6f;   // 0: always the best token
  float top_p = 0.95f;        // in (0, 1]; 1 keeps all
  int32_t top_k = 0;          // 0 keeps all
  uint64_t seed = 0;
};

class Sampler {
 public:
  // Errors: invalid_argument, naming the field (NaN, out of range).
  static Result<Sampler> create(const SamplingOptions& options);

  // NaN counts as minus infinity. Errors: corrupt, when no logit is finite.
  Result<int32_t> sample(std::span<const float> logits);

 private:
  explicit Sampler(const SamplingOptions& options) : options_(options), state_(options.seed) {}
  SamplingOptions options_;
  uint64_t state_;                 // of a SplitMix64 generator
  std::vector<std::pair<float, int32_t>> candidates_;
};

}  // namespace wenqu::engine
