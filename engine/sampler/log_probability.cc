#include "engine/sampler/log_probability.h"

#include <algorithm>
#include <cmath>

namespace wenqu::engine {

std::vector<TokenProbability> log_probabilities(std::span<const float> logits, int32_t chosen, size_t count) {
  float top = -INFINITY;
  for (const float logit : logits) top = std::max(top, std::isnan(logit) ? -INFINITY : logit);
  double sum = 0;
  for (const float logit : logits)
    if (!std::isnan(logit)) sum += std::exp(static_cast<double>(logit) - static_cast<double>(top));
  const double log_sum = static_cast<double>(top) + std::log(sum);
  const auto probability = [&](int32_t token) -> TokenProbability {
    const float logit = logits[static_cast<size_t>(token)];
    return {token, std::isnan(logit) ? -INFINITY : static_cast<float>(static_cast<double>(logit) - log_sum)};
  };
  std::vector<TokenProbability> out = {probability(chosen)};
  // The best so far, kept sorted: count is small beside the vocabulary.
  std::vector<TokenProbability> best;
  count = std::min(count, logits.size());
  for (size_t i = 0; i < logits.size() && count > 0; ++i) {
    const TokenProbability one = probability(static_cast<int32_t>(i));
    if (best.size() == count && !(one.log_probability > best.back().log_probability)) continue;
    const auto place = std::upper_bound(best.begin(), best.end(), one, [](const TokenProbability& a, const TokenProbability& b) {
      return a.log_probability > b.log_probability;
    });
    best.insert(place, one);
    if (best.size() > count) best.pop_back();
  }
  out.insert(out.end(), best.begin(), best.end());
  return out;
}

}  // namespace wenqu::engine
