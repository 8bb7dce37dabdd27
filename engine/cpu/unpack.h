// Quantized blocks as whole numbers and scales, one form for all types of a block size: the plain
// reading that dequantization and the scalar kernels share.
#pragma once

#include "engine/cpu/blocks.h"

namespace wenqu::engine::cpu {

// 32 values: d * w + m.
struct Unpacked32 {
  float d = 0, m = 0;
  int8_t w[32];
};

// 256 values in sub-blocks of 16: d * scale * w - dmin * minimum.
struct Unpacked256 {
  float d = 0, dmin = 0;
  int8_t w[256];
  int8_t scales[16];
  uint8_t minima[16] = {};
};

static inline void unpack(const BlockQ8_0& block, Unpacked32& out) {
  out.d = half_to_float(block.d);
  std::memcpy(out.w, block.q, sizeof(out.w));
}

// Value i of a block of nibbles.
static inline int nibble(const uint8_t q[16], int i) { return i < 16 ? q[i] & 15 : q[i - 16] >> 4; }
static inline int fifth_bit(const uint8_t high[4], int i) { return (high[i / 8] >> i % 8 & 1) << 4; }

static inline void unpack(const BlockQ4_0& block, Unpacked32& out) {
  out.d = half_to_float(block.d);
  for (int i = 0; i < 32; ++i) out.w[i] = static_cast<int8_t>(nibble(block.q, i) - 8);
}
static inline void unpack(const BlockQ4_1& block, Unpacked32& out) {
  out.d = half_to_float(block.d), out.m = half_to_float(block.m);
  for (int i = 0; i < 32; ++i) out.w[i] = static_cast<int8_t>(nibble(block.q, i));
}
static inline void unpack(const BlockQ5_0& block, Unpacked32& out) {
  out.d = half_to_float(block.d);
  for (int i = 0; i < 32; ++i) out.w[i] = static_cast<int8_t>((nibble(block.q, i) | fifth_bit(block.high, i)) - 16);
}
static inline void unpack(const BlockQ5_1& block, Unpacked32& out) {
  out.d = half_to_float(block.d), out.m = half_to_float(block.m);
  for (int i = 0; i < 32; ++i) out.w[i] = static_cast<int8_t>(nibble(block.q, i) | fifth_bit(block.high, i));
}
static inline void unpack(const BlockIQ4NL& block, Unpacked32& out) {
  out.d = half_to_float(block.d);
  for (int i = 0; i < 32; ++i) out.w[i] = kNonLinear[nibble(block.q, i)];
}

// The four or five bits and the scales that Q4_K and Q5_K have in common.
static inline void unpack_q4k_like(const uint8_t scales[12], const uint8_t q[128], Unpacked256& out) {
  uint8_t eight_scales[8], eight_minima[8];
  unpack_q4k_scales(scales, eight_scales, eight_minima);
  for (int i = 0; i < 16; ++i) {
    out.scales[i] = static_cast<int8_t>(eight_scales[i / 2]);
    out.minima[i] = eight_minima[i / 2];
  }
  for (int i = 0; i < 256; ++i) {
    const uint8_t byte = q[i / 64 * 32 + i % 32];
    out.w[i] = static_cast<int8_t>(i % 64 < 32 ? byte & 15 : byte >> 4);
  }
}
static inline void unpack(const BlockQ4K& block, Unpacked256& out) {
  out.d = half_to_float(block.d), out.dmin = half_to_float(block.dmin);
  unpack_q4k_like(block.scales, block.q, out);
}
static inline void unpack(const BlockQ5K& block, Unpacked256& out) {
  out.d = half_to_float(block.d), out.dmin = half_to_float(block.dmin);
  unpack_q4k_like(block.scales, block.q, out);
  for (int i = 0; i < 256; ++i) out.w[i] = static_cast<int8_t>(out.w[i] | (block.high[i % 32] >> i / 32 & 1) << 4);
}

// Two bits of value i, as Q2_K and Q3_K keep them.
static inline int two_bits(const uint8_t q[64], int i) { return q[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3; }

static inline void unpack(const BlockQ2K& block, Unpacked256& out) {
  out.d = half_to_float(block.d), out.dmin = half_to_float(block.dmin);
  for (int i = 0; i < 16; ++i) {
    out.scales[i] = static_cast<int8_t>(block.scales[i] & 15);
    out.minima[i] = block.scales[i] >> 4;
  }
  for (int i = 0; i < 256; ++i) out.w[i] = static_cast<int8_t>(two_bits(block.q, i));
}
static inline void unpack(const BlockQ3K& block, Unpacked256& out) {
  out.d = half_to_float(block.d);
  unpack_q3k_scales(block.scales, out.scales);
  for (int i = 0; i < 256; ++i)
    out.w[i] = static_cast<int8_t>(two_bits(block.q, i) + (block.high[i % 32] >> i / 32 & 1) * 4 - 4);
}
static inline void unpack(const BlockQ6K& block, Unpacked256& out) {
  out.d = half_to_float(block.d);
  std::memcpy(out.scales, block.scales, sizeof(out.scales));
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, quarter = i % 128 / 32, l = i % 32;
    const uint8_t byte = block.low[half * 64 + quarter % 2 * 32 + l];
    const int high = block.high[half * 32 + l] >> quarter * 2 & 3;
    out.w[i] = static_cast<int8_t>(((quarter < 2 ? byte & 15 : byte >> 4) | high << 4) - 32);
  }
}
static inline void unpack(const BlockIQ4XS& block, Unpacked256& out) {
  out.d = half_to_float(block.d);
  int8_t scales[8];
  unpack_iq4xs_scales(block.scales_high, block.scales_low, scales);
  for (int i = 0; i < 16; ++i) out.scales[i] = scales[i / 2];
  for (int i = 0; i < 256; ++i) out.w[i] = kNonLinear[nibble(block.q + i / 32 * 16, i % 32)];
}

}  // namespace wenqu::engine::cpu
