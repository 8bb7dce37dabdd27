#include "engine/draft/batch_times.h"

#include <algorithm>
#include <cmath>

namespace wenqu::engine {
namespace {

// A further token's arithmetic, as a share of the time of one that is read alone: a first guess.
constexpr double kArithmetic = 0.2;
// A time is disturbed upwards only, so lower ones count more.
constexpr double kTrustInLower = 0.5, kTrustInHigher = 0.125;

}  // namespace

BatchTimes::BatchTimes(const WeightBytes& weights) {
  const bool mixed = weights.all > 0 && weights.expert_count > 0 && weights.experts_used > 0;
  const double share = mixed ? static_cast<double>(weights.experts) / static_cast<double>(weights.all) : 0;
  const double count = weights.expert_count, used = weights.experts_used;
  for (size_t i = 0; i < kMost; ++i) {
    const double read = mixed ? count / used * (1 - std::pow(1 - used / count, static_cast<double>(i + 1))) : 1;
    reckoned_[i] = 1 - share + share * read + kArithmetic * static_cast<double>(i);
  }
}

void BatchTimes::add(size_t tokens, double seconds) {
  if (tokens == 0 || tokens > kMost || !(seconds > 0)) return;
  double& known = seconds_[tokens - 1];
  if (known == 0) known = seconds;
  else known += (seconds < known ? kTrustInLower : kTrustInHigher) * (seconds - known);
  if (tokens > 1 && age_ > 0) age_ = 0, pace_ /= 2;
}

size_t BatchTimes::largest() const {
  size_t measured = kMost;
  while (measured > 1 && seconds_[measured - 1] == 0) --measured;
  return std::min(2 * measured, kMost);
}

double BatchTimes::relative(size_t tokens) const {
  if (seconds_[0] == 0) return reckoned(tokens);
  const auto measured = [&](size_t n) {
    const double ratio = std::max(1.0, seconds_[n - 1] / seconds_[0]);
    return n > 1 && ratio > reckoned(n) ? ratio + age_ * (reckoned(n) - ratio) : ratio;
  };
  size_t below = tokens, above = tokens;
  while (seconds_[below - 1] == 0) --below;
  while (above <= kMost && seconds_[above - 1] == 0) ++above;
  if (below == tokens) return measured(tokens);
  if (above <= kMost) {
    const double part = static_cast<double>(tokens - below) / static_cast<double>(above - below);
    return measured(below) + part * (measured(above) - measured(below));
  }
  // Behind the largest batch measured, as it was reckoned, but for the scale of what further tokens cost.
  if (below == 1) return reckoned(tokens);
  return 1 + (measured(below) - 1) * (reckoned(tokens) - 1) / (reckoned(below) - 1);
}

}  // namespace wenqu::engine
