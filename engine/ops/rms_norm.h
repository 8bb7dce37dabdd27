// Root mean square normalisation (Zhang, Sennrich 2019): x / sqrt(mean(x^2) + epsilon) * weight.
#pragma once

#include <cmath>
#include <cstddef>

#include "engine/cpu/kernels.h"

namespace wenqu::engine::ops {

// out may be x.
inline void rms_norm(const cpu::Kernels& kernels, const float* x, const float* weight, float epsilon, size_t n, float* out) {
  const float factor = 1 / std::sqrt(kernels.dot(x, x, n) / static_cast<float>(n) + epsilon);
  for (size_t i = 0; i < n; ++i) out[i] = x[i] * factor * weight[i];
}

}  // namespace wenqu::engine::ops
