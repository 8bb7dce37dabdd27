#include "engine/ops/router.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace wenqu::engine::ops {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

void softmax(std::span<float> values) {
  const float top = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (float& v : values) sum += v = std::exp(v - top);
  const float inverse = static_cast<float>(1 / sum);
  for (float& v : values) v *= inverse;
}

// The `count` largest of `values`, by value and then by index. NaN counts as the smallest.
void take_largest(std::span<const float> values, size_t count, std::vector<uint32_t>& out) {
  out.resize(values.size());
  std::iota(out.begin(), out.end(), 0u);
  const auto before = [&](uint32_t a, uint32_t b) {
    const bool a_is_number = !std::isnan(values[a]), b_is_number = !std::isnan(values[b]);
    if (a_is_number != b_is_number) return a_is_number;
    return a_is_number && values[a] != values[b] ? values[a] > values[b] : a < b;
  };
  std::partial_sort(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(count), out.end(), before);
  out.resize(count);
}

}  // namespace

void choose_experts(const RouterConfig& config, std::span<float> logits, std::span<const float> bias,
                    std::span<ExpertChoice> out) {
  if (config.gating == RouterConfig::Gating::softmax)
    softmax(logits);
  else
    for (float& v : logits) v = 1 / (1 + std::exp(-v));
  std::vector<float> choice(logits.begin(), logits.end());
  for (size_t i = 0; i < bias.size(); ++i) choice[i] += bias[i];

  std::vector<uint32_t> picked;
  if (config.groups > 1) {
    const size_t size = config.experts / config.groups;
    std::vector<float> group_scores;
    for (size_t g = 0; g < config.groups; ++g) {
      const std::span<const float> group(choice.data() + g * size, size);
      // V3 holds a group's two best against each other, V2 its best.
      take_largest(group, bias.empty() ? 1 : std::min<size_t>(2, size), picked);
      float score = 0;
      for (uint32_t i : picked) score += group[i];
      group_scores.push_back(score);
    }
    take_largest(group_scores, config.groups_used, picked);
    std::vector<bool> kept(config.groups, false);
    for (uint32_t g : picked) kept[g] = true;
    for (size_t g = 0; g < config.groups; ++g)
      if (!kept[g]) std::fill_n(choice.begin() + static_cast<std::ptrdiff_t>(g * size), size, kNever);
  }
  take_largest(choice, config.used, picked);
  float sum = 0;
  for (uint32_t k = 0; k < config.used; ++k) {
    out[k] = {picked[k], logits[picked[k]]};
    sum += out[k].weight;
  }
  for (ExpertChoice& chosen : out) {
    if (config.normalize) chosen.weight /= sum + 1e-20f;
    chosen.weight *= config.scale;
  }
}

}  // namespace wenqu::engine::ops
