// Layer normalisation (Ba, Kiros, Hinton 2016): (x - mean) / sqrt(variance + epsilon) * weight + bias. Sums are kept in
// double precision: everything behind the norm scales with them.
#pragma once

#include <cmath>
#include <cstddef>

namespace wenqu::engine::ops {

// out may be x.
inline void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, size_t n, float* out) {
  double sum = 0, squares = 0;
  for (size_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]);
  const double mean = sum / static_cast<double>(n);
  for (size_t i = 0; i < n; ++i) squares += (static_cast<double>(x[i]) - mean) * (static_cast<double>(x[i]) - mean);
  const auto factor = static_cast<float>(1 / std::sqrt(squares / static_cast<double>(n) + static_cast<double>(epsilon)));
  const auto middle = static_cast<float>(mean);
  for (size_t i = 0; i < n; ++i) out[i] = (x[i] - middle) * factor * weight[i] + bias[i];
}

}  // namespace wenqu::engine::ops
