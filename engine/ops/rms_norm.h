// Root mean square normalisation (Zhang, Sennrich 2019): x / sqrt(mean(x^2) + epsilon) * weight. The
// squares are added up in double precision: everything behind the norm scales with their sum.
#pragma once

#include <cmath>
#include <cstddef>

namespace wenqu::engine::ops {

// out may be x.
inline void rms_norm(const float* x, const float* weight, float epsilon, size_t n, float* out) {
  double sums[4] = {};   // that do not wait for each other
  size_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (size_t k = 0; k < 4; ++k) sums[k] += static_cast<double>(x[i + k] * x[i + k]);
  for (; i < n; ++i) sums[0] += static_cast<double>(x[i] * x[i]);
  const double sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  const float factor = 1 / std::sqrt(static_cast<float>(sum / static_cast<double>(n)) + epsilon);
  for (i = 0; i < n; ++i) out[i] = x[i] * factor * weight[i];
}

}  // namespace wenqu::engine::ops
