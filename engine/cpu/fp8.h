// FP8 with four bits of exponent and three of fraction (E4M3, arXiv 2209.05433): no infinities, S.1111.111 is NaN.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace wenqu::engine::cpu {

inline constexpr float kLargestE4m3 = 448;

float e4m3_to_float(uint8_t bits);

// The nearest, ties to even; beyond +-448 the largest.
inline uint8_t float_to_e4m3(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint8_t sign = static_cast<uint8_t>(bits >> 24 & 0x80);
  float magnitude = std::fabs(value);
  if (magnitude != magnitude) return sign | 0x7F;
  if (magnitude > kLargestE4m3) magnitude = kLargestE4m3;
  // Below 2^-6 the steps are 2^-9 throughout.
  if (magnitude < 0x1p-6f) return sign | static_cast<uint8_t>(std::nearbyint(magnitude * 512));
  uint32_t rest = std::bit_cast<uint32_t>(magnitude);
  rest += 0x7FFFF + (rest >> 20 & 1);
  return sign | static_cast<uint8_t>((rest >> 20) - (120 << 3));
}

}  // namespace wenqu::engine::cpu
