// Layout of quantized weights in GGUF files, little-endian, half floats as their bits.
//
// The functions have internal linkage on purpose: files compiled for different instruction sets must not
// share one copy.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace wenqu::engine::cpu {

struct BlockQ8_0 {      // 32 values: d * q
  uint16_t d;
  int8_t q[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

struct BlockQ4K {       // 256 values in 8 sub-blocks of 32: d * scale * q - dmin * min
  uint16_t d, dmin;
  uint8_t scales[12];   // 6-bit scales and minima, packed
  uint8_t q[128];       // 32 bytes for two sub-blocks: low halves the first, high halves the second
};
static_assert(sizeof(BlockQ4K) == 144);

struct BlockQ6K {       // 256 values in 16 sub-blocks of 16: d * scale * (q - 32)
  uint8_t low[128];     // lower four bits
  uint8_t high[64];     // upper two bits
  int8_t scales[16];
  uint16_t d;
};
static_assert(sizeof(BlockQ6K) == 210);

// The eight 6-bit scales and minima of a Q4_K block.
static inline void unpack_q4k_scales(const uint8_t packed[12], uint8_t scales[8], uint8_t minima[8]) {
  uint32_t a, b, c;
  std::memcpy(&a, packed, 4);
  std::memcpy(&b, packed + 4, 4);
  std::memcpy(&c, packed + 8, 4);
  const uint32_t s0 = a & 0x3F3F3F3F, m0 = b & 0x3F3F3F3F;
  const uint32_t s1 = (c & 0x0F0F0F0F) | ((a >> 6 & 0x03030303) << 4);
  const uint32_t m1 = (c >> 4 & 0x0F0F0F0F) | ((b >> 6 & 0x03030303) << 4);
  std::memcpy(scales, &s0, 4);
  std::memcpy(scales + 4, &s1, 4);
  std::memcpy(minima, &m0, 4);
  std::memcpy(minima + 4, &m1, 4);
}

// IEEE 754 half precision to single, exactly.
static inline float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = half >> 10 & 0x1F, fraction = half & 0x3FF;
  if (exponent == 0) {   // zero and subnormal: fraction * 2^-24
    const float value = static_cast<float>(fraction) * 0x1.0p-24f;
    return sign ? -value : value;
  }
  const uint32_t bits = exponent == 31 ? 0x7F800000 | fraction << 13 : (exponent + 112) << 23 | fraction << 13;
  return std::bit_cast<float>(sign | bits);
}

static inline float bfloat_to_float(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Rounded to the eleven significant bits of half precision, but with the range of floats.
static inline float round_to_half_precision(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (value < 0x1p-14f) return value;   // half floats are subnormal there, and coarser than is good
  return std::bit_cast<float>((bits + 0xFFF + (bits >> 13 & 1)) & ~0x1FFFu);
}

}  // namespace wenqu::engine::cpu
