#include "engine/ops/gelu.h"

#include <bit>
#include <cstdint>

namespace wenqu::engine::ops {
namespace {

// exp(-z) for z >= 0: two to the whole part of -z / ln 2, times a polynomial for the rest. Below the smallest normal
// number it gives that one.
inline float exp_of_negative(float z) {
  constexpr float kLog2e = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f, kSmallest = 87.0f;
  const float x = -(z < kSmallest ? z : kSmallest);
  const auto whole = static_cast<int32_t>(x * kLog2e - 0.5f);
  const auto k = static_cast<float>(whole);
  const float r = (x - k * kLn2High) - k * kLn2Low;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1;
  return p * std::bit_cast<float>((whole + 127) << 23);
}

}  // namespace

void gelu(float* values, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const float x = values[i], magnitude = x < 0 ? -x : x;
    const float z = magnitude * 0.70710678f;
    const float t = 1 / (1 + 0.3275911f * z);
    const float rest = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t *
                       exp_of_negative(z * z);
    // 1 - rest is erf(|x| / sqrt(2)).
    values[i] = x < 0 ? 0.5f * x * rest : x - 0.5f * x * rest;
  }
}

}  // namespace wenqu::engine::ops
