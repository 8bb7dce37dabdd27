// Weights of a row, 32 at a time, as bytes to be multiplied with an input's: two runs of 16 neighbours, which are
// not always neighbours of each other, because a byte of the file often holds numbers that stand 32 or 64 apart.
//
//   weight = scale * q - minimum
//
// Layouts: engine/cpu/blocks.h gives the blocks, engine/cuda/layout.h how they lie here.
#pragma once

#include "engine/cuda/layout.h"
#include "engine/cuda/machine.h"

namespace wenqu::engine::cuda {

struct Chunk {
  uint32_t q[2][4];    // signed bytes
  int at[2];           // the place of each run's first number in the row
  float scale[2], minimum[2];
};

namespace unpacking {

using gguf::Type;

template <typename T>
WENQU_DEVICE const T* plane(const std::byte* row, int at) { return reinterpret_cast<const T*>(row + at); }

template <typename Machine>
WENQU_DEVICE void load_words(Machine& m, const std::byte* p, uint32_t (&words)[4]) {
  const Word4 v = m.load_once(reinterpret_cast<const Word4*>(p));
  words[0] = v.x, words[1] = v.y, words[2] = v.z, words[3] = v.w;
}

// `bytes` with four signed bytes `less` taken off each, all of them below 128 before.
WENQU_DEVICE uint32_t subtract(uint32_t bytes, uint32_t less) {
  // A byte's top bit lends, so that nothing is borrowed from its neighbour; flipping it back leaves the difference.
  return ((bytes | 0x80808080u) - less) ^ 0x80808080u;
}

// Scale and minimum of sub-block g of a Q4_K or Q5_K block from its head: d, dmin, then 12 bytes of six bits.
template <typename Machine>
WENQU_DEVICE void k_scale(Machine& m, const Word4& head, int g, float& scale, float& minimum) {
  const uint32_t a = head.y, b = head.z, c = head.w;   // scales 0..3, minima 0..3, the low four bits of 4..7
  const int shift = g % 4 * 8;
  const uint32_t s = g < 4 ? a >> shift & 63 : (c >> shift & 15) | (a >> (shift + 6) & 3) << 4;
  const uint32_t n = g < 4 ? b >> shift & 63 : (c >> (shift + 4) & 15) | (b >> (shift + 6) & 3) << 4;
  scale = m.to_float(Half{static_cast<uint16_t>(head.x)}) * static_cast<float>(s);
  minimum = m.to_float(Half{static_cast<uint16_t>(head.x >> 16)}) * static_cast<float>(n);
}

// The numbers that the four bits of IQ4_NL and IQ4_XS stand for: low halves of a word's bytes, and high ones.
template <typename Machine>
WENQU_DEVICE void non_linear(Machine& m, uint32_t word, uint32_t& low, uint32_t& high) {
  constexpr uint32_t kTable[4] = {0xBFAD9881, 0xF6EADDCF, 0x26190D01, 0x71594535};
  uint32_t pairs[2];
  for (int i = 0; i < 2; ++i, word >>= 16) {
    const uint32_t below = m.permute(kTable[0], kTable[1], word & 0x7777), above = m.permute(kTable[2], kTable[3], word & 0x7777);
    pairs[i] = m.permute(below, above, 0x3210 | (word & 0x8888) >> 1);
  }
  low = m.permute(pairs[0], pairs[1], 0x6420);
  high = m.permute(pairs[0], pairs[1], 0x7531);
}

// Bits `first`, `first` + 1 ... of a word, spread to `mask`'s lowest bit of four bytes.
WENQU_DEVICE uint32_t spread(uint32_t bits) {   // four bits, one to a byte
  return (bits & 1) | (bits & 2) << 7 | (bits & 4) << 14 | (bits & 8) << 21;
}

// The place in its row of the first number of chunk c's run r.
template <Type type>
WENQU_BOTH constexpr int run_place(int c, int r) {
  if constexpr (type == Type::q4_k || type == Type::q5_k) return c / 8 * 256 + c % 8 / 2 * 64 + c % 2 * 16 + r * 32;
  if constexpr (type == Type::q6_k) return c / 8 * 256 + c % 8 / 4 * 128 + c % 4 * 16 + r * 64;
  if constexpr (type == Type::q2_k || type == Type::q3_k) return c / 8 * 256 + c % 8 / 2 * 64 + c % 2 * 16 + r * 32;
  return c * 32 + r * 16;
}

// Chunk c of a row of `inputs` numbers.
template <Type type, typename Machine>
WENQU_DEVICE Chunk chunk(Machine& m, const std::byte* row, int inputs, int c) {
  constexpr RowLayout kLayout = row_layout(type);
  const int blocks = inputs / kLayout.block_values;
  Chunk out;
  out.at[0] = run_place<type>(c, 0), out.at[1] = run_place<type>(c, 1);
  uint32_t w[4];
  if constexpr (type == Type::q8_0) {
    for (int r = 0; r < 2; ++r) {   // each half of what memory gives at once: kept until the other is asked for
      const Word4 v = m.load(plane<Word4>(row, c * 32 + r * 16));
      out.q[r][0] = v.x, out.q[r][1] = v.y, out.q[r][2] = v.z, out.q[r][3] = v.w;
    }
    out.scale[0] = out.scale[1] = m.to_float(m.load(plane<Half>(row, kLayout.begin(1, blocks)) + c));
    out.minimum[0] = out.minimum[1] = 0;
  } else if constexpr (kLayout.block_values == 32) {
    load_words(m, row + c * 16, w);
    constexpr bool kFifthBits = type == Type::q5_0 || type == Type::q5_1;
    constexpr bool kHasMinimum = type == Type::q4_1 || type == Type::q5_1;
    const uint32_t high = kFifthBits ? m.load(plane<uint32_t>(row, kLayout.begin(1, blocks)) + c) : 0;
    for (int i = 0; i < 4; ++i) {
      if constexpr (type == Type::iq4_nl) {
        non_linear(m, w[i], out.q[0][i], out.q[1][i]);
      } else {
        uint32_t a = w[i] & 0x0F0F0F0F, b = w[i] >> 4 & 0x0F0F0F0F;
        if constexpr (kFifthBits) a |= spread(high >> (4 * i)) << 4, b |= spread(high >> (16 + 4 * i)) << 4;
        constexpr uint32_t kLess = type == Type::q4_0 ? 0x08080808 : type == Type::q5_0 ? 0x10101010 : 0;
        out.q[0][i] = subtract(a, kLess), out.q[1][i] = subtract(b, kLess);
      }
    }
    if constexpr (kHasMinimum) {
      const uint32_t pair = m.load(plane<uint32_t>(row, kLayout.begin(kLayout.planes - 1, blocks)) + c);
      out.scale[0] = m.to_float(Half{static_cast<uint16_t>(pair)});
      out.minimum[0] = -m.to_float(Half{static_cast<uint16_t>(pair >> 16)});
    } else {
      out.scale[0] = m.to_float(m.load(plane<Half>(row, kLayout.begin(kLayout.planes - 1, blocks)) + c));
      out.minimum[0] = 0;
    }
    out.scale[1] = out.scale[0], out.minimum[1] = out.minimum[0];
  } else if constexpr (type == Type::q4_k || type == Type::q5_k) {
    const int b = c / 8, pair = c % 8 / 2, half = c % 2;   // 64 numbers in 32 bytes: low halves, then high ones
    load_words(m, row + b * 128 + pair * 32 + half * 16, w);
    for (int i = 0; i < 4; ++i) out.q[0][i] = w[i] & 0x0F0F0F0F, out.q[1][i] = w[i] >> 4 & 0x0F0F0F0F;
    if constexpr (type == Type::q5_k) {
      uint32_t high[4];
      load_words(m, row + kLayout.begin(1, blocks) + b * 32 + half * 16, high);
      for (int i = 0; i < 4; ++i) {
        out.q[0][i] |= (high[i] >> (2 * pair) & 0x01010101) << 4;
        out.q[1][i] |= (high[i] >> (2 * pair + 1) & 0x01010101) << 4;
      }
    }
    const Word4 head = m.load(plane<Word4>(row, kLayout.begin(kLayout.planes - 1, blocks)) + b);
    k_scale(m, head, 2 * pair, out.scale[0], out.minimum[0]);
    k_scale(m, head, 2 * pair + 1, out.scale[1], out.minimum[1]);
  } else if constexpr (type == Type::q6_k) {
    // 128 numbers in 64 bytes of four bits and 32 of two: number l has the low half of byte l % 64 (l < 64) or the
    // high half, and bits 2 * (l / 32) of byte l % 32.
    const int b = c / 8, side = c % 8 / 4, part = c % 4;
    load_words(m, row + b * 128 + side * 64 + part * 16, w);
    uint32_t high[4];
    load_words(m, row + kLayout.begin(1, blocks) + b * 64 + side * 32 + part % 2 * 16, high);
    const int shift = part / 2 * 2;
    for (int i = 0; i < 4; ++i) {
      out.q[0][i] = subtract((w[i] & 0x0F0F0F0F) | (high[i] >> shift & 0x03030303) << 4, 0x20202020);
      out.q[1][i] = subtract((w[i] >> 4 & 0x0F0F0F0F) | (high[i] >> (shift + 4) & 0x03030303) << 4, 0x20202020);
    }
    const float d = m.to_float(m.load(plane<Half>(row, kLayout.begin(3, blocks)) + b));
    const int at = side * 128 + part * 16;
    const int8_t* const scales = plane<int8_t>(row, kLayout.begin(2, blocks)) + b * 16;
    out.scale[0] = d * static_cast<float>(m.load(scales + at / 16)), out.scale[1] = d * static_cast<float>(m.load(scales + at / 16 + 4));
    out.minimum[0] = out.minimum[1] = 0;
  } else if constexpr (type == Type::iq4_xs) {
    const int b = c / 8, g = c % 8;
    load_words(m, row + c * 16, w);
    for (int i = 0; i < 4; ++i) non_linear(m, w[i], out.q[0][i], out.q[1][i]);
    const Word2 head = m.load(plane<Word2>(row, kLayout.begin(1, blocks)) + b);   // d, scales' high bits; their low bits
    const uint32_t scale = (head.y >> (4 * g) & 15) | (head.x >> (16 + 2 * g) & 3) << 4;
    out.scale[0] = out.scale[1] = m.to_float(Half{static_cast<uint16_t>(head.x)}) * static_cast<float>(static_cast<int>(scale) - 32);
    out.minimum[0] = out.minimum[1] = 0;
  } else {   // Q2_K, Q3_K: 128 numbers in 32 bytes, number l in bits 2 * (l / 32) of byte l % 32
    const int b = c / 8, side = c % 8 / 4, half = c % 2, shift = c % 4 / 2 * 4;
    load_words(m, row + b * 64 + side * 32 + half * 16, w);
    const int at = side * 128 + shift * 16 + half * 16;
    for (int r = 0; r < 2; ++r)
      for (int i = 0; i < 4; ++i) out.q[r][i] = w[i] >> (shift + 2 * r) & 0x03030303;
    if constexpr (type == Type::q2_k) {
      const uint32_t d = m.load(plane<uint32_t>(row, kLayout.begin(2, blocks)) + b);
      const uint8_t* const scales = plane<uint8_t>(row, kLayout.begin(1, blocks)) + b * 16;
      for (int r = 0; r < 2; ++r) {
        const uint8_t packed = m.load(scales + at / 16 + 2 * r);
        out.scale[r] = m.to_float(Half{static_cast<uint16_t>(d)}) * static_cast<float>(packed & 15);
        out.minimum[r] = m.to_float(Half{static_cast<uint16_t>(d >> 16)}) * static_cast<float>(packed >> 4);
      }
    } else {
      uint32_t high[4];
      load_words(m, row + kLayout.begin(1, blocks) + b * 32 + half * 16, high);
      const int bit = side * 4 + shift / 2;
      const float d = m.to_float(m.load(plane<Half>(row, kLayout.begin(3, blocks)) + b));
      const uint8_t* const scales = plane<uint8_t>(row, kLayout.begin(2, blocks)) + b * 12;
      for (int r = 0; r < 2; ++r) {
        for (int i = 0; i < 4; ++i) out.q[r][i] = subtract(out.q[r][i] | (high[i] >> (bit + r) & 0x01010101) << 2, 0x04040404);
        const int s = at / 16 + 2 * r;
        const int low = m.load(scales + s % 8) >> (s / 8 * 4) & 15, top = m.load(scales + 8 + s % 4) >> (s / 4 * 2) & 3;
        out.scale[r] = d * static_cast<float>((low | top << 4) - 32);
        out.minimum[r] = 0;
      }
    }
  }
  return out;
}

}  // namespace unpacking

using unpacking::chunk;
using unpacking::run_place;

}  // namespace wenqu::engine::cuda
