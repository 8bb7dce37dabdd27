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

struct BlockQ4_0 {      // 32 values: d * (q - 8); low halves of the bytes first
  uint16_t d;
  uint8_t q[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

struct BlockQ4_1 {      // d * q + m
  uint16_t d, m;
  uint8_t q[16];
};
static_assert(sizeof(BlockQ4_1) == 20);

struct BlockQ5_0 {      // d * (q - 16); the fifth bits lie apart, value i's in bit i
  uint16_t d;
  uint8_t high[4];
  uint8_t q[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

struct BlockQ5_1 {      // d * q + m
  uint16_t d, m;
  uint8_t high[4];
  uint8_t q[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

struct BlockIQ4NL {     // d * kNonLinear[q]
  uint16_t d;
  uint8_t q[16];
};
static_assert(sizeof(BlockIQ4NL) == 18);

struct BlockQ2K {       // 256 values in 16 sub-blocks of 16: d * scale * q - dmin * min
  uint8_t scales[16];   // low half the scale, high half the minimum
  uint8_t q[64];        // 32 bytes for 128 values, two bits for each 32 of them
  uint16_t d, dmin;
};
static_assert(sizeof(BlockQ2K) == 84);

struct BlockQ3K {       // 16 sub-blocks of 16: d * (scale - 32) * (q - 4)
  uint8_t high[32];     // third bits: bit g of byte i is that of value 32 g + i
  uint8_t q[64];        // as in Q2_K
  uint8_t scales[12];   // 6 bits each, packed
  uint16_t d;
};
static_assert(sizeof(BlockQ3K) == 110);

struct BlockQ5K {       // as Q4_K, with fifth bits: bit g of high[i] is that of value 32 g + i
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t high[32];
  uint8_t q[128];
};
static_assert(sizeof(BlockQ5K) == 176);

struct BlockIQ4XS {     // 8 sub-blocks of 32: d * (scale - 32) * kNonLinear[q]
  uint16_t d;
  uint16_t scales_high; // two bits each
  uint8_t scales_low[4];
  uint8_t q[128];       // 16 bytes a sub-block, as in IQ4_NL
};
static_assert(sizeof(BlockIQ4XS) == 136);

// The values that the four bits of IQ4_NL and IQ4_XS stand for.
static constexpr int8_t kNonLinear[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// The eight 6-bit scales and minima of a Q4_K or Q5_K block.
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

// The sixteen 6-bit scales of a Q3_K block, 32 taken off: four low bits of all lie first, then their two
// high bits.
static inline void unpack_q3k_scales(const uint8_t packed[12], int8_t scales[16]) {
  for (int i = 0; i < 16; ++i) {
    const int low = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4;
    const int high = packed[8 + i % 4] >> (i / 4 * 2) & 3;
    scales[i] = static_cast<int8_t>((low | high << 4) - 32);
  }
}

// The eight 6-bit scales of an IQ4_XS block, 32 taken off.
static inline void unpack_iq4xs_scales(uint16_t high, const uint8_t low[4], int8_t scales[8]) {
  for (int i = 0; i < 8; ++i)
    scales[i] = static_cast<int8_t>(((low[i / 2] >> (i % 2 * 4) & 15) | (high >> (i * 2) & 3) << 4) - 32);
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

// To the nearest half float, ties to even; beyond the range to infinity.
static inline uint16_t float_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return static_cast<uint16_t>(sign | 0x7E00);   // NaN
  if (magnitude >= 0x47800000) return static_cast<uint16_t>(sign | 0x7C00);  // 65536 and more
  if (magnitude < 0x38800000) {
    // Subnormal: adding 0.5 leaves the value's multiple of 2^-24, rounded, in the lowest bits.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000));
  }
  const uint32_t rounded = magnitude + 0xFFF + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | (rounded - 0x38000000) >> 13);
}

static inline float bfloat_to_float(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Rounded to the eleven significant bits of half precision, but with the range of floats.
static inline float round_to_half_precision(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (value < 0x1p-14f) return value;   // half floats are subnormal there, and coarser than is good
  return std::bit_cast<float>((bits + 0xFFF + (bits >> 13 & 1)) & ~0x1FFFu);
}

}  // namespace wenqu::engine::cpu
