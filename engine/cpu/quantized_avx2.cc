// Products of quantized weights with inputs of 8 bits, for AVX2. The products of a block are summed as whole numbers,
// which no order of additions changes; what is rounded, is rounded in one order everywhere (kernels.h).
//
// Few tokens: eight rows at a time, each row's blocks as they follow each other in memory, the sums of eight rows
// then side by side in one vector. Many tokens: sixteen rows unpacked once, rows side by side from the beginning.
#if defined(__x86_64__)

#include "engine/cpu/avx2.h"
#include "engine/cpu/tile.h"

namespace wenqu::engine::cpu {
namespace {

// Weights are asked for so many bytes before they are used: first into the second cache, far enough ahead to keep
// the memory busy, then into the first.
constexpr size_t kFarAhead = 16384, kAhead = 768;
// From so many tokens on, unpacking a tile pays.
constexpr size_t kTileTokens = 12;

// The eight sums of eight vectors.
inline __m256i sums_of(const __m256i v[8]) {
  const __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
  const __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]), _mm256_hadd_epi32(v[6], v[7]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

inline __m256 halves(const uint16_t h[8]) { return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(h))); }

// Pairs of products of bytes.
template <class Weights>
inline __m256i pairs(__m256i w, __m256i x) {
  if constexpr (Weights::kSigned) return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  return _mm256_maddubs_epi16(w, x);
}

// What a block adds to eight or more rows' results: scale * (d * products [+ addend]).
inline __m256 add_block(__m256 sum, float scale, __m256 d, __m256i products) {
  return _mm256_fmadd_ps(_mm256_set1_ps(scale), _mm256_mul_ps(d, _mm256_cvtepi32_ps(products)), sum);
}
inline __m256 add_block(__m256 sum, float scale, __m256 d, __m256i products, __m256 addend) {
  return _mm256_fmadd_ps(_mm256_set1_ps(scale), _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(products), addend), sum);
}
// -dmin * minus
inline __m256 negated_product(__m256 dmin, __m256i minus) {
  return _mm256_xor_ps(_mm256_mul_ps(dmin, _mm256_cvtepi32_ps(minus)), _mm256_set1_ps(-0.0f));
}

inline __m256i scale_of(__m256i scales, int g) {
  return _mm256_shuffle_epi8(scales, _mm256_set1_epi16(static_cast<short>((g * 2 + 1) << 8 | g * 2)));
}

inline void prefetch(const std::byte* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p + kFarAhead), _MM_HINT_T1);
  _mm_prefetch(reinterpret_cast<const char*>(p + kAhead), _MM_HINT_T0);
}

// ------------------------------------------------------------------ few tokens

struct EightRows {
  const std::byte* rows[8];
  size_t count;
  // Where there are fewer than eight, the last stands for those that lack.
  EightRows(const DotRows& args, size_t first) : count(args.rows - first < 8 ? args.rows - first : 8) {
    for (size_t r = 0; r < 8; ++r) rows[r] = args.weights + (first + (r < count ? r : count - 1)) * args.row_bytes;
  }
  void store(__m256 sums, float* out) const {
    if (count == 8) return _mm256_storeu_ps(out, sums);
    alignas(32) float all[8];
    _mm256_store_ps(all, sums);
    std::memcpy(out, all, count * sizeof(float));
  }
};

template <class Weights, size_t T>
void eight_rows_256(const DotRows& args, size_t first, size_t token) {
  constexpr size_t kBlocks = T == 1 ? 8 : 2;   // whose sums are kept until all eight rows have them
  const EightRows eight(args, first);
  const InputRow* inputs = args.inputs + token;
  __m256 sum[T];
  for (size_t t = 0; t < T; ++t) sum[t] = _mm256_setzero_ps();
  alignas(32) __m256i products[kBlocks][T][8], minus[kBlocks][T][8];
  alignas(16) uint16_t d[kBlocks][8], dmin[kBlocks][8];
  const size_t blocks = args.n / 256;
  for (size_t begin = 0; begin < blocks; begin += kBlocks) {
    const size_t count = blocks - begin < kBlocks ? blocks - begin : kBlocks;
    for (size_t r = 0; r < 8; ++r)
      for (size_t b = 0; b < count; ++b) {
        const std::byte* block = eight.rows[r] + (begin + b) * Weights::kBytes;
        for (size_t line = 0; line < Weights::kBytes; line += 64) prefetch(block + line);
        const Weights weights(block);
        d[b][r] = load16(block + Weights::kScale);
        __m256i p[T];
        for (size_t t = 0; t < T; ++t) p[t] = _mm256_setzero_si256();
#pragma GCC unroll 8
        for (int g = 0; g < 8; ++g) {
          const __m256i w = weights.weights(g), scale = scale_of(weights.scales, g);
          for (size_t t = 0; t < T; ++t) {
            const __m256i x = load(inputs[t].q256 + (begin + b) * 256 + static_cast<size_t>(g) * 32);
            p[t] = _mm256_add_epi32(p[t], _mm256_madd_epi16(pairs<Weights>(w, x), scale));
          }
        }
        for (size_t t = 0; t < T; ++t) {
          const __m256i x = load(inputs[t].sum256 + (begin + b) * 16);
          if constexpr (Weights::kMinima)
            minus[b][t][r] = _mm256_madd_epi16(weights.minima, x);
          else if constexpr (Weights::kOffset > 0)
            p[t] = _mm256_sub_epi32(p[t], _mm256_slli_epi32(_mm256_madd_epi16(weights.scales, x), Weights::kOffsetBits));
          products[b][t][r] = p[t];
        }
        if constexpr (Weights::kMinima) dmin[b][r] = load16(block + Weights::kScale + 2);
      }
    for (size_t b = 0; b < count; ++b)
      for (size_t t = 0; t < T; ++t) {
        const float scale = inputs[t].scale256[begin + b];
        if constexpr (Weights::kMinima)
          sum[t] = add_block(sum[t], scale, halves(d[b]), sums_of(products[b][t]), negated_product(halves(dmin[b]), sums_of(minus[b][t])));
        else
          sum[t] = add_block(sum[t], scale, halves(d[b]), sums_of(products[b][t]));
      }
  }
  for (size_t t = 0; t < T; ++t) eight.store(sum[t], args.outputs[token + t] + args.first + first);
}

template <class Weights, size_t T>
void eight_rows_32(const DotRows& args, size_t first, size_t token) {
  constexpr size_t kBlocks = T == 1 ? 16 : 4;
  const EightRows eight(args, first);
  const InputRow* inputs = args.inputs + token;
  __m256 sum[T];
  for (size_t t = 0; t < T; ++t) sum[t] = _mm256_setzero_ps();
  alignas(32) __m256i products[kBlocks][T][8];
  alignas(16) uint16_t d[kBlocks][8], m[kBlocks][8];
  const size_t blocks = args.n / 32;
  for (size_t begin = 0; begin < blocks; begin += kBlocks) {
    const size_t count = blocks - begin < kBlocks ? blocks - begin : kBlocks;
    for (size_t r = 0; r < 8; ++r)
      for (size_t b = 0; b < count; ++b) {
        const std::byte* block = eight.rows[r] + (begin + b) * Weights::kBytes;
        if (b % 2 == 0) prefetch(block);
        d[b][r] = load16(block);
        if constexpr (Weights::kMinimum) m[b][r] = load16(block + 2);
        const __m256i w = Weights::weights(block);
        for (size_t t = 0; t < T; ++t)
          products[b][t][r] = _mm256_madd_epi16(pairs<Weights>(w, load(inputs[t].q32 + (begin + b) * 32)), _mm256_set1_epi16(1));
      }
    for (size_t b = 0; b < count; ++b)
      for (size_t t = 0; t < T; ++t) {
        const float scale = inputs[t].scale32[begin + b];
        const int total = inputs[t].sum32[begin + b];
        __m256i p = sums_of(products[b][t]);
        if constexpr (Weights::kOffset > 0) p = _mm256_sub_epi32(p, _mm256_set1_epi32(Weights::kOffset * total));
        if constexpr (Weights::kMinimum)
          sum[t] = add_block(sum[t], scale, halves(d[b]), p, _mm256_mul_ps(halves(m[b]), _mm256_set1_ps(static_cast<float>(total))));
        else
          sum[t] = add_block(sum[t], scale, halves(d[b]), p);
      }
  }
  for (size_t t = 0; t < T; ++t) eight.store(sum[t], args.outputs[token + t] + args.first + first);
}

// ------------------------------------------------------------------ many tokens

// Eight rows' 32 bytes each become groups of four of all eight.
inline void interleave(const uint8_t (*rows)[kTileColumns], size_t column, uint8_t (*out)[kTileRows][4], size_t half) {
  __m256i v[8], u[8];
  for (size_t r = 0; r < 8; ++r) v[r] = load(rows[r] + column);
  for (size_t i = 0; i < 8; i += 2) {
    u[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
    u[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
  }
  for (size_t i = 0; i < 8; i += 4) {
    v[i] = _mm256_unpacklo_epi64(u[i], u[i + 2]);
    v[i + 1] = _mm256_unpackhi_epi64(u[i], u[i + 2]);
    v[i + 2] = _mm256_unpacklo_epi64(u[i + 1], u[i + 3]);
    v[i + 3] = _mm256_unpackhi_epi64(u[i + 1], u[i + 3]);
  }
  for (size_t i = 0; i < 4; ++i) {
    const auto put = [&](size_t step, __m256i value) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(out[column / 4 + step][half * 8]), value);
    };
    put(i, _mm256_permute2x128_si256(v[i], v[i + 4], 0x20));
    put(i + 4, _mm256_permute2x128_si256(v[i], v[i + 4], 0x31));
  }
}

// `columns`: of the 256, those that the rows have, a multiple of 32.
inline void interleave(const uint8_t (*rows)[kTileColumns], size_t columns, Tile& tile) {
  for (size_t column = 0; column < columns; column += 32)
    for (size_t half = 0; half < 2; ++half) interleave(rows + half * 8, column, tile.w, half);
}

template <class Weights>
void unpack_256(const std::byte* rows, size_t row_bytes, size_t count, Tile& tile) {
  alignas(64) uint8_t bytes[kTileRows][kTileColumns];
  for (size_t r = 0; r < kTileRows; ++r) {
    const std::byte* block = rows + (r < count ? r : count - 1) * row_bytes;
    const Weights weights(block);
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) _mm256_store_si256(reinterpret_cast<__m256i*>(bytes[r] + g * 32), weights.weights(g));
    alignas(32) int16_t scales[16], sums[16];
    _mm256_store_si256(reinterpret_cast<__m256i*>(scales), weights.scales);
    if constexpr (Weights::kMinima)
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums), weights.minima);
    else
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums), _mm256_slli_epi16(weights.scales, Weights::kOffsetBits));
    for (size_t i = 0; i < 16; ++i) {
      const int16_t scale = scales[i / 2 + i % 2 * 8];   // of sub-block i
      tile.scales[i][r][0] = tile.scales[i][r][1] = scale;
      tile.sums[i / 2][r][i % 2] = sums[i];
    }
    tile.d[0][r] = _cvtsh_ss(load16(block + Weights::kScale));
    if constexpr (Weights::kMinima) tile.m[0][r] = _cvtsh_ss(load16(block + Weights::kScale + 2));
  }
  interleave(bytes, kTileColumns, tile);
}

template <class Weights>
void unpack_32(const std::byte* rows, size_t row_bytes, size_t count, size_t blocks, Tile& tile) {
  alignas(64) uint8_t bytes[kTileRows][kTileColumns];
  for (size_t r = 0; r < kTileRows; ++r) {
    const std::byte* row = rows + (r < count ? r : count - 1) * row_bytes;
    for (size_t b = 0; b < blocks; ++b) {
      const std::byte* block = row + b * Weights::kBytes;
      _mm256_store_si256(reinterpret_cast<__m256i*>(bytes[r] + b * 32), Weights::weights(block));
      tile.d[b][r] = _cvtsh_ss(load16(block));
      if constexpr (Weights::kMinimum) tile.m[b][r] = _cvtsh_ss(load16(block + 2));
    }
  }
  interleave(bytes, blocks * 32, tile);
}

// products[t][half] += scale * the dots of 4 kSteps columns from `step` on, of sixteen rows and T tokens.
template <class Weights, size_t T>
inline void add_steps(const Tile& tile, size_t step, const int8_t* const* x, const __m256i scale[2], __m256i (*products)[2]) {
  __m256i s[T][2];
#pragma GCC unroll 8
  for (size_t k = 0; k < Weights::kSteps; ++k) {
    const __m256i w0 = load(tile.w[step + k]), w1 = load(tile.w[step + k][8]);
    for (size_t t = 0; t < T; ++t) {
      int32_t four;
      std::memcpy(&four, x[t] + (step + k) * 4, 4);
      const __m256i v = _mm256_set1_epi32(four);
      const __m256i p0 = pairs<Weights>(w0, v), p1 = pairs<Weights>(w1, v);
      s[t][0] = k == 0 ? p0 : _mm256_add_epi16(s[t][0], p0);
      s[t][1] = k == 0 ? p1 : _mm256_add_epi16(s[t][1], p1);
    }
  }
  for (size_t t = 0; t < T; ++t)
    for (size_t half = 0; half < 2; ++half)
      products[t][half] = _mm256_add_epi32(products[t][half], _mm256_madd_epi16(s[t][half], scale[half]));
}

template <class Weights, size_t T>
void tile_256(const Tile& tile, size_t block, const InputRow* inputs, float (*sums)[kTileRows]) {
  const int8_t* x[T];
  __m256i products[T][2];
  for (size_t t = 0; t < T; ++t) {
    x[t] = inputs[t].q256 + block * 256;
    products[t][0] = products[t][1] = _mm256_setzero_si256();
  }
  for (size_t step = 0; step < kTileColumns / 4; step += Weights::kSteps) {
    const auto& scales = tile.scales[step / 4];
    const __m256i scale[2] = {load(scales[0]), load(scales[8])};
    add_steps<Weights, T>(tile, step, x, scale, products);
  }
  for (size_t t = 0; t < T; ++t)
    for (size_t half = 0; half < 2; ++half) {
      const float scale = inputs[t].scale256[block];
      const __m256 d = _mm256_load_ps(tile.d[0] + half * 8), sum = _mm256_load_ps(sums[t] + half * 8);
      __m256i p = products[t][half];
      __m256 result;
      if constexpr (Weights::kMinima || Weights::kOffset > 0) {
        __m256i minus = _mm256_setzero_si256();
        for (size_t i = 0; i < 8; ++i) {
          int32_t two;
          std::memcpy(&two, inputs[t].sum256 + block * 16 + i * 2, 4);
          minus = _mm256_add_epi32(minus, _mm256_madd_epi16(load(tile.sums[i][half * 8]), _mm256_set1_epi32(two)));
        }
        if constexpr (Weights::kMinima)
          result = add_block(sum, scale, d, p, negated_product(_mm256_load_ps(tile.m[0] + half * 8), minus));
        else
          result = add_block(sum, scale, d, _mm256_sub_epi32(p, minus));
      } else {
        result = add_block(sum, scale, d, p);
      }
      _mm256_store_ps(sums[t] + half * 8, result);
    }
}

template <class Weights, size_t T>
void tile_32(const Tile& tile, size_t block, size_t blocks, const InputRow* inputs, float (*sums)[kTileRows]) {
  const int8_t* x[T];
  for (size_t t = 0; t < T; ++t) x[t] = inputs[t].q32 + block * 32;
  const __m256i scale[2] = {_mm256_set1_epi16(1), _mm256_set1_epi16(1)};
  for (size_t b = 0; b < blocks; ++b) {
    __m256i products[T][2];
    for (size_t t = 0; t < T; ++t) products[t][0] = products[t][1] = _mm256_set1_epi32(-Weights::kOffset * inputs[t].sum32[block + b]);
    for (size_t step = 0; step < 8; step += Weights::kSteps) add_steps<Weights, T>(tile, b * 8 + step, x, scale, products);
    for (size_t t = 0; t < T; ++t)
      for (size_t half = 0; half < 2; ++half) {
        const __m256 d = _mm256_load_ps(tile.d[b] + half * 8), sum = _mm256_load_ps(sums[t] + half * 8);
        const float scale32 = inputs[t].scale32[block + b];
        __m256 result;
        if constexpr (Weights::kMinimum) {
          const __m256 total = _mm256_set1_ps(static_cast<float>(inputs[t].sum32[block + b]));
          result = add_block(sum, scale32, d, products[t][half], _mm256_mul_ps(_mm256_load_ps(tile.m[b] + half * 8), total));
        } else {
          result = add_block(sum, scale32, d, products[t][half]);
        }
        _mm256_store_ps(sums[t] + half * 8, result);
      }
  }
}

// ------------------------------------------------------------------ the choice

struct Few256 {
  template <class Weights, size_t T> static constexpr auto kernel = eight_rows_256<Weights, T>;
};
struct Few32 {
  template <class Weights, size_t T> static constexpr auto kernel = eight_rows_32<Weights, T>;
};

// Groups of T tokens, then of fewer; a group's inputs stay in the cache while the rows pass by.
template <class Few, class Weights, size_t T = 4>
void few_tokens(const DotRows& args, size_t token = 0) {
  for (; token + T <= args.tokens; token += T)
    for (size_t r = 0; r < args.rows; r += 8) Few::template kernel<Weights, T>(args, r, token);
  if constexpr (T > 1)
    if (token < args.tokens) few_tokens<Few, Weights, T / 2>(args, token);
}

// tile(tokens' number as a constant, first token): three tokens at a time, which is what the registers hold.
template <typename Multiply>
void by_threes(size_t tokens, const Multiply& multiply) {
  size_t t = 0;
  for (; t + 3 <= tokens; t += 3) multiply.template operator()<3>(t);
  if (tokens - t == 2) multiply.template operator()<2>(t);
  if (tokens - t == 1) multiply.template operator()<1>(t);
}

constexpr size_t kMostTokens = 512;

// unpack(rows, count, block column, tile) and multiply<T>(tile, block column, inputs, sums) for all columns.
template <typename Unpack, typename Multiply>
void many_tokens(const DotRows& args, size_t columns, const Unpack& unpack, const Multiply& multiply) {
  Tile tile;
  alignas(64) float sums[kMostTokens][kTileRows];
  for (size_t token = 0; token < args.tokens; token += kMostTokens) {
    const size_t tokens = args.tokens - token < kMostTokens ? args.tokens - token : kMostTokens;
    for (size_t r = 0; r < args.rows; r += kTileRows) {
      const size_t count = args.rows - r < kTileRows ? args.rows - r : kTileRows;
      std::memset(sums, 0, tokens * sizeof(sums[0]));
      for (size_t column = 0; column < columns; ++column) {
        unpack(args.weights + r * args.row_bytes, count, column, tile);
        by_threes(tokens, [&]<size_t T>(size_t t) { multiply.template operator()<T>(tile, column, args.inputs + token + t, sums + t); });
      }
      for (size_t t = 0; t < tokens; ++t) std::memcpy(args.outputs[token + t] + args.first + r, sums[t], count * sizeof(float));
    }
  }
}

template <class Weights>
void dot_256(const DotRows& args) {
  if (args.tokens < kTileTokens) return few_tokens<Few256, Weights>(args);
  many_tokens(
      args, args.n / 256,
      [&](const std::byte* rows, size_t count, size_t column, Tile& tile) {
        unpack_256<Weights>(rows + column * Weights::kBytes, args.row_bytes, count, tile);
      },
      [&]<size_t T>(const Tile& tile, size_t column, const InputRow* inputs, float (*sums)[kTileRows]) {
        tile_256<Weights, T>(tile, column, inputs, sums);
      });
}

template <class Weights>
void dot_32(const DotRows& args) {
  if (args.tokens < kTileTokens) return few_tokens<Few32, Weights>(args);
  const auto blocks = [&](size_t column) { return args.n / 32 - column * 8 < 8 ? args.n / 32 - column * 8 : 8; };
  many_tokens(
      args, (args.n + 255) / 256,
      [&](const std::byte* rows, size_t count, size_t column, Tile& tile) {
        unpack_32<Weights>(rows + column * 8 * Weights::kBytes, args.row_bytes, count, blocks(column), tile);
      },
      [&]<size_t T>(const Tile& tile, size_t column, const InputRow* inputs, float (*sums)[kTileRows]) {
        tile_32<Weights, T>(tile, column * 8, blocks(column), inputs, sums);
      });
}

}  // namespace

namespace avx2 {
void q8_0(const DotRows& args) { dot_32<WeightsQ8_0>(args); }
void q4_0(const DotRows& args) { dot_32<WeightsQ4_0>(args); }
void q4_1(const DotRows& args) { dot_32<WeightsQ4_1>(args); }
void q5_0(const DotRows& args) { dot_32<WeightsQ5_0>(args); }
void q5_1(const DotRows& args) { dot_32<WeightsQ5_1>(args); }
void iq4_nl(const DotRows& args) { dot_32<WeightsIQ4NL>(args); }
void q2_k(const DotRows& args) { dot_256<WeightsQ2K>(args); }
void q3_k(const DotRows& args) { dot_256<WeightsQ3K>(args); }
void q4_k(const DotRows& args) { dot_256<WeightsQ4K>(args); }
void q5_k(const DotRows& args) { dot_256<WeightsQ5K>(args); }
void q6_k(const DotRows& args) { dot_256<WeightsQ6K>(args); }
void iq4_xs(const DotRows& args) { dot_256<WeightsIQ4XS>(args); }
}  // namespace avx2

}  // namespace wenqu::engine::cpu

#endif  // __x86_64__
