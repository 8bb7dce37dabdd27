// What the packers of block types share.
#pragma once

#include <algorithm>
#include <cmath>

#include "engine/cpu/blocks.h"

namespace wenqu::engine::quant {

// A block's values over a power of two, so that the largest is from 1 to 2, and their weights.
template <int n>
struct Normalised {
  float x[n], w[n];
  float unit = 1;      // value = x * unit
  bool zero = false;   // all of them

  explicit Normalised(const float* values) {
    float top = 0;
    for (int i = 0; i < n; ++i) top = std::max(top, std::fabs(values[i]));
    zero = top == 0;
    // The inverse of 2^127 is subnormal but exact; below 2^-126 the inverse would be infinite.
    unit = zero ? 1 : std::ldexp(1.0f, std::clamp(std::ilogb(top), -126, 127));
    const float inverse = 1 / unit;
    float squares = 0;
    for (int i = 0; i < n; ++i) {
      x[i] = values[i] * inverse;
      squares += x[i] * x[i];
    }
    const float mean = std::sqrt(squares / n);
    for (int i = 0; i < n; ++i) w[i] = mean + std::fabs(x[i]);
  }

  // A scale as the file will hold it: rounded to half precision, but not to zero, which would lose the block.
  // Infinite when it is beyond the range.
  uint16_t half(float scale) const {
    const float real = scale * unit;
    if (scale != 0 && std::fabs(real) < 0x1p-24f) return static_cast<uint16_t>(scale < 0 ? 0x8001 : 0x0001);
    return cpu::float_to_half(real);
  }
  float normal(uint16_t bits) const { return cpu::half_to_float(bits) / unit; }
};

inline bool is_infinite(uint16_t half) { return (half & 0x7C00) == 0x7C00; }

// Each packs one block and gives false where a scale is beyond the range of half floats. The values are finite.
bool pack(const float* values, cpu::BlockQ8_0& block);
bool pack(const float* values, cpu::BlockQ4_0& block);
bool pack(const float* values, cpu::BlockQ4_1& block);
bool pack(const float* values, cpu::BlockQ5_0& block);
bool pack(const float* values, cpu::BlockQ5_1& block);
bool pack(const float* values, cpu::BlockIQ4NL& block);
bool pack(const float* values, cpu::BlockQ2K& block);
bool pack(const float* values, cpu::BlockQ3K& block);
bool pack(const float* values, cpu::BlockQ4K& block);
bool pack(const float* values, cpu::BlockQ5K& block);
bool pack(const float* values, cpu::BlockQ6K& block);
bool pack(const float* values, cpu::BlockIQ4XS& block);

}  // namespace wenqu::engine::quant
