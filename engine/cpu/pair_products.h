// Products of signed bytes with signed bytes for many tokens, where the instruction set (AVX2) has none: two columns at a
// time, by S. Winograd's inner product ("A New Algorithm for Inner Product", IEEE Transactions on Computers C-17, 1968):
//
//   w0 x0 + w1 x1 = (w0 + x1) (w1 + x0) - w0 w1 - x0 x1
//
// One multiplication does for two, and what is taken away is known before: w0 w1 of the rows once for all tokens, x0 x1 of the
// tokens once for all rows. In 16 bits the sums are exact (at most 256), and so is what vpmaddwd makes of them. To move signs from weights to
// inputs (vpsignb), for vpmaddubsw, takes as many instructions, but three of the four have only half of Zen 3's pipes.
//
// Everything here has internal linkage, as in tile.h.
#pragma once

#include "engine/cpu/tile.h"

namespace wenqu::engine::cpu {
namespace {

// A tile whose weights are 16 bits wide. Of four columns the first two meet the last two.
struct WideTile {
  alignas(64) int16_t w[kTileColumns / 4][2][kTileRows][2];   // [column / 4][column / 2 % 2][row][column % 2]
  alignas(64) int32_t pairs[kTileColumns / 32][kTileRows];    // of blocks of 32: minus the sum of w0 w1
  alignas(64) int32_t scales[kTileColumns / 32][kTileRows];   // blocks of 256 only
  alignas(64) float d[kTileColumns / 32][kTileRows];
};

// A token's inputs of a column of tiles in the same form.
struct WideInput {
  alignas(32) int16_t x[kTileColumns / 4][2][2];
  alignas(32) int32_t pairs[kTileColumns / 32];   // the sum of x0 x1
  const float* scales;                            // of blocks of 32, or of the block of 256
};

// Eight rows' groups of four columns of a block, in 16 bits; minus their sums of w0 w1.
__attribute__((always_inline)) inline void widen_groups(const __m256i (&groups)[8], WideTile& to, size_t b, size_t half) {
  const __m256i first = _mm256_broadcastsi128_si256(_mm_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13));
  const __m256i last = _mm256_add_epi8(first, _mm256_set1_epi16(0x0200));
  __m256i pairs = _mm256_setzero_si256();
  for (size_t i = 0; i < 8; ++i) {
    const __m256i w0 = _mm256_srai_epi16(_mm256_shuffle_epi8(groups[i], first), 8), w1 = _mm256_srai_epi16(_mm256_shuffle_epi8(groups[i], last), 8);
    _mm256_store_si256(reinterpret_cast<__m256i*>(to.w[b * 8 + i][0][half]), w0);
    _mm256_store_si256(reinterpret_cast<__m256i*>(to.w[b * 8 + i][1][half]), w1);
    pairs = _mm256_sub_epi32(pairs, _mm256_madd_epi16(w0, w1));
  }
  _mm256_store_si256(reinterpret_cast<__m256i*>(to.pairs[b] + half), pairs);
}

template <class Weights>
void unpack_wide_32(const std::byte* rows, size_t row_bytes, size_t count, size_t blocks, WideTile& to) {
  const auto row = [&](size_t r) { return rows + (r < count ? r : count - 1) * row_bytes; };
  for (size_t r = 0; r < kTileRows; ++r) {
    prefetch_next_rows<8 * Weights::kBytes>(row(r), row_bytes);
    for (size_t b = 0; b < blocks; ++b) to.d[b][r] = _cvtsh_ss(load16(row(r) + b * Weights::kBytes));
  }
  for (size_t half = 0; half < kTileRows; half += 8)
    for (size_t b = 0; b < blocks; ++b) {
      __m256i groups[8];
      for (size_t r = 0; r < 8; ++r) groups[r] = Weights::weights(row(half + r) + b * Weights::kBytes);
      interleave_eight(groups);
      widen_groups(groups, to, b, half);
    }
}

template <class Scaling, class Weights>
void unpack_wide_256(const std::byte* rows, size_t row_bytes, size_t count, WideTile& to) {
  static_assert(Weights::kScaleColumns == 32);
  Tile narrow;
  unpack_256<Scaling, Weights>(rows, row_bytes, count, narrow);
  for (size_t half = 0; half < kTileRows; half += 8)
    for (size_t b = 0; b < 8; ++b) {
      __m256i groups[8];
      for (size_t i = 0; i < 8; ++i) groups[i] = load(narrow.w[b * 8 + i][half]);
      widen_groups(groups, to, b, half);
      // Two sub-blocks of 16 have one scale, which stands twice.
      _mm256_store_si256(reinterpret_cast<__m256i*>(to.scales[b] + half), _mm256_srai_epi32(load(narrow.scales[b * 2][half]), 16));
    }
  std::memcpy(to.d[0], narrow.d[0], sizeof(to.d[0]));
}

// The sums of each of eight vectors.
inline __m256i fold_eight(const __m256i (&v)[8]) {
  const auto four = [](__m256i a, __m256i b, __m256i c, __m256i d) { return _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d)); };
  const __m256i low = four(v[0], v[1], v[2], v[3]), high = four(v[4], v[5], v[6], v[7]);
  return _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
}

// A block's columns; gives its sum of x0 x1 in parts.
__attribute__((always_inline)) inline __m256i widen_block(const int8_t* from, int16_t (*to)[2][2]) {
  const auto half = [&](size_t i) __attribute__((always_inline)) {
    const __m256i x = _mm256_cvtepi8_epi16(load_half(from + i * 16));
    _mm256_store_si256(reinterpret_cast<__m256i*>(to[i * 4]), x);
    return _mm256_madd_epi16(x, _mm256_srli_epi64(x, 32));
  };
  return _mm256_add_epi32(half(0), half(1));
}

inline void widen(const int8_t* from, size_t blocks, WideInput& to) {
  __m256i pairs[kTileColumns / 32];
  if (blocks == 8) each<8>([&](auto b) __attribute__((always_inline)) { pairs[b] = widen_block(from + b * 32, to.x + b * 8); });
  else
    for (size_t b = 0; b < 8; ++b) pairs[b] = b < blocks ? widen_block(from + b * 32, to.x + b * 8) : _mm256_setzero_si256();
  _mm256_store_si256(reinterpret_cast<__m256i*>(to.pairs), fold_eight(pairs));
}

// What T tokens have of a column of a tile.
template <class Weights, size_t T, size_t kStride>
void wide_tile(const WideTile& tile, size_t blocks, const WideInput* inputs, Sums<kStride> sums) {
  constexpr bool kScaled = kOfBlocks256<Weights>;
  const auto add = [&](size_t t, size_t half, float scale, size_t b, __m256i products) __attribute__((always_inline)) {
    float* const out = sums[t] + half * 8;
    _mm256_store_ps(out, add_block(_mm256_load_ps(out), scale, _mm256_load_ps(tile.d[b] + half * 8), products));
  };
  __m256i scaled[T][2];
  if constexpr (kScaled)
    for (auto& token : scaled) token[0] = token[1] = _mm256_setzero_si256();
  for (size_t b = 0; b < blocks; ++b) {
    __m256i products[T][2];
    each<T>([&](auto t) __attribute__((always_inline)) {
      const __m256i pairs = _mm256_set1_epi32(inputs[t].pairs[b]);
      each<2>([&](auto half) __attribute__((always_inline)) { products[t][half] = _mm256_sub_epi32(load(tile.pairs[b] + half * 8), pairs); });
    });
    each<8>([&](auto i) __attribute__((always_inline)) {
      const size_t step = b * 8 + i;
      const __m256i w0[2] = {load(tile.w[step][0]), load(tile.w[step][0][8])}, w1[2] = {load(tile.w[step][1]), load(tile.w[step][1][8])};
      each<T>([&](auto t) __attribute__((always_inline)) {
        const __m256i x0 = broadcast32(inputs[t].x[step][0]), x1 = broadcast32(inputs[t].x[step][1]);
        each<2>([&](auto half) __attribute__((always_inline)) {
          products[t][half] = _mm256_add_epi32(products[t][half], _mm256_madd_epi16(_mm256_add_epi16(w0[half], x1), _mm256_add_epi16(w1[half], x0)));
        });
        __asm__("" : "+x"(products[t][0]), "+x"(products[t][1]));   // in this order: there are no registers for another
      });
    });
    each<T>([&](auto t) __attribute__((always_inline)) {
      each<2>([&](auto half) __attribute__((always_inline)) {
        if constexpr (kScaled) scaled[t][half] = _mm256_add_epi32(scaled[t][half], _mm256_mullo_epi32(products[t][half], load(tile.scales[b] + half * 8)));
        else add(t, half, inputs[t].scales[b], b, products[t][half]);
      });
    });
  }
  if constexpr (kScaled)
    each<T>([&](auto t) __attribute__((always_inline)) {
      each<2>([&](auto half) __attribute__((always_inline)) { add(t, half, *inputs[t].scales, 0, scaled[t][half]); });
    });
}

// multiply(tile, blocks of 32, inputs, tokens, sums).
template <class Scaling, class Weights, Grouping kGrouping, typename Multiply>
void many_tokens_in_pairs(const DotRows& args, const Multiply& multiply) {
  WideInput wide[kGrouping.tokens];
  many_tokens<kGrouping, WideTile>(
      args, tile_columns(args.n),
      [&](const std::byte* rows, size_t count, size_t column, WideTile& tile) {
        with_plain_column<Weights>(args, rows, count, column, [&](const std::byte* plain, size_t row_bytes) {
          if constexpr (kOfBlocks256<Weights>) unpack_wide_256<Scaling, Weights>(plain, row_bytes, count, tile);
          else unpack_wide_32<Weights>(plain, row_bytes, count, blocks_of_32(args.n, column), tile);
        });
      },
      [&](size_t column, const InputRow* inputs, size_t tokens) {
        for (size_t t = 0; t < tokens; ++t) {
          constexpr bool kScaled = kOfBlocks256<Weights>;
          widen((kScaled ? inputs[t].q256 : inputs[t].q32) + column * kTileColumns, blocks_of_32(args.n, column), wide[t]);
          wide[t].scales = kScaled ? inputs[t].scale256 + column : inputs[t].scale32 + column * 8;
        }
        return wide;
      },
      [&](const WideTile* tile, size_t column, const WideInput* inputs, size_t tokens, auto sums) {
        multiply(*tile, blocks_of_32(args.n, column), inputs, tokens, sums);
      });
}

}  // namespace
}  // namespace wenqu::engine::cpu
