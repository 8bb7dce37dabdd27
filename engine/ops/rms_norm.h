// Root mean square normalisation (Zhang, Sennrich 2019): x / sqrt(mean(x^2) + epsilon) * weight. The
// squares are added up in double precision: everything behind the norm scales with their sum.
#pragma once

#include <cmath>
#include <cstddef>

namespace wenqu::engine::ops {

// out may be x.
inline void rms_norm(const float* x, const float* weight, float epsilon, size_t n, float* out) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += static_cast<double>(x[i] * x[i]);
  const float factor = 1 / std::sqrt(static_cast<float>(sum / static_cast<double>(n)) + epsilon);
  for (size_t i = 0; i < n; ++i) out[i] = x[i] * factor * weight[i];
}

}  // namespace wenqu::engine::ops
