// Chooses the next token from the logits.
//
// Order: bias and mask, penalties, temperature, top-k, top-p, min-p. That is the vendors' order: top-p sees
// the distribution that the temperature shaped. Ties go to the lower id. The same seed and the same logits
// give the same choice on every machine and thread count.
// Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/status.h"
#include "engine/sampler/top_logits.h"

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

  // What is enough for most choices in place of all logits; nullopt: nothing less ever is. Valid as long as the sampler.
  std::optional<TopRequest> top_request() const;
  // Whether the choice from these is certainly the one from all logits.
  bool enough(const TopLogits& top) const { return !top.best.empty() && cut_of(top).by != Cut::By::nothing; }
  // The same choice as from all logits, by the same random number. REQUIRES: enough(top), or nothing in it. Errors: corrupt.
  Result<int32_t> sample_from(const TopLogits& top);

 private:
  // What leaves only candidates that TopLogits hold.
  struct Cut {
    enum class By { nothing, likelihood, top_k, top_p, min_p };
    By by = By::nothing;
    size_t count = 0;   // of the best, that are left
  };

  explicit Sampler(const SamplingOptions& options) : options_(options), state_(options.seed) {}
  bool changes_logits() const;
  bool is_greedy() const { return options_.temperature == 0 || options_.top_k == 1; }
  void change(std::span<float> logits, const SamplingHistory& history);
  Result<int32_t> choose(std::span<const float> logits);
  Cut cut_of(const TopLogits& top) const;
  // Of the candidates, the best of which has this logit.
  double weight(float logit, float best) const;
  double weigh(float best) const;
  void keep_best(size_t count);
  double keep_most_probable(float best, double wanted);
  int32_t choose_among_all(float best);
  int32_t draw(float best, double mass);

  SamplingOptions options_;
  uint64_t state_;                 // of a SplitMix64 generator
  std::vector<std::pair<float, int32_t>> candidates_;
  std::vector<float> changed_;     // logits, where options change them
  std::vector<uint8_t> seen_;      // [vocabulary], all 0 between calls
};

}  // namespace wenqu::engine
