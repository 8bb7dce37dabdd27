// Chooses the experts of a token, as DeepSeek-V2 (softmax scores) and V3 (sigmoid scores, a bias for
// the choice alone that balances the experts' load, groups) do; DeepSeek's own inference code is the
// reference. Ties go to the lower index.
#pragma once

#include <cstdint>
#include <span>

namespace wenqu::engine::ops {

struct RouterConfig {
  enum class Gating { softmax, sigmoid };
  uint32_t experts = 0;
  uint32_t used = 0;
  Gating gating = Gating::softmax;
  bool normalize = false;                  // weights are divided by their sum
  float scale = 1;                         // and multiplied by this
  uint32_t groups = 1, groups_used = 1;    // only experts of the best groups may be chosen
};

// In place of an expert that somebody else computes.
inline constexpr uint32_t kNoExpert = UINT32_MAX;

struct ExpertChoice {
  uint32_t expert = 0;
  float weight = 0;
};

// logits: [experts], overwritten by the scores. bias: [experts] or empty. out: [used].
void choose_experts(const RouterConfig& config, std::span<float> logits, std::span<const float> bias,
                    std::span<ExpertChoice> out);

}  // namespace wenqu::engine::ops
