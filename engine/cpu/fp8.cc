#include "engine/cpu/fp8.h"

#include <array>

namespace wenqu::engine::cpu {

float e4m3_to_float(uint8_t bits) {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values{};
    for (int i = 0; i < 256; ++i) {
      const int exponent = i >> 3 & 15, fraction = i & 7;
      const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -9)
                                            : std::ldexp(1 + static_cast<float>(fraction) / 8, exponent - 7);
      values[static_cast<size_t>(i)] = (i & 127) == 127 ? NAN : i & 128 ? -magnitude : magnitude;
    }
    return values;
  }();
  return table[bits];
}

}  // namespace wenqu::engine::cpu
