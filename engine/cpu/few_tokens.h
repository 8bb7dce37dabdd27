// Quantized weights times one token or a few: eight rows at a time, one after the other in the order in which they lie
// in memory, then the sums of the eight rows side by side in one vector.
//
// Arithmetic is how an instruction set multiplies:
//   scaled_products<Weights, T>(weights, x, sums): what is below, or better;
//   add_products(sums, pairs, scales): sums of 32 bits, with the pairs of 16 bits times their scales added;
//   dot<Weights>(w, x): 32 products of bytes in eight sums, of signed weights with kSignedOffset added to each.
//
// Everything here has internal linkage: files of different instruction sets must not share one copy.
#pragma once

#include "engine/cpu/ahead.h"
#include "engine/cpu/avx2.h"

namespace wenqu::engine::cpu {
namespace {

// Sums of two vectors' pairs, and of two such vectors' pairs: four of these are a vector of four vectors' sums, in both halves.
// Horizontal additions take twice as long.
inline __m256i pair_sums(__m256i a, __m256i b) { return _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)); }
inline __m256i four_sums(__m256i ab, __m256i cd) { return _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd)); }
inline __m128i halves_added(__m256i v) { return _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)); }
inline int32_t sum_of(__m256i v) {
  const __m128i four = halves_added(v), two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
  return _mm_cvtsi128_si32(two) + _mm_extract_epi32(two, 1);
}

// The eight sums of eight vectors.
inline __m256i sums_of(const __m256i v[8]) {
  const __m256i a = four_sums(pair_sums(v[0], v[1]), pair_sums(v[2], v[3])), b = four_sums(pair_sums(v[4], v[5]), pair_sums(v[6], v[7]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

inline __m256i sums_of(const int32_t (*v)[8]) { return sums_of(reinterpret_cast<const __m256i*>(v)); }
// The eight sums of eight shorter vectors.
inline __m256i sums_of(const int32_t (*v)[4]) {
  const auto both = [&](int i) { return _mm256_inserti128_si256(_mm256_castsi128_si256(load_half(v[i])), load_half(v[i + 4]), 1); };
  return four_sums(pair_sums(both(0), both(1)), pair_sums(both(2), both(3)));
}

// Of a row for one token; a row that is no wider is read from its begin to its end, as only so memory delivers what it can.
constexpr size_t kColumns = 30720;

inline __m256 halves(const uint16_t h[8]) { return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(h))); }

// The scales of columns [32 g, 32 g + 32).
template <int g, class Weights>
inline __m256i scale_of(const Weights& weights) {
  if constexpr (requires { weights.template scale<g>(); }) return weights.template scale<g>();
  else return _mm256_shuffle_epi8(weights.scales, _mm256_set1_epi16((g * 2 + 1) << 8 | g * 2));
}

// Transposes a matrix of eight times eight.
inline void transpose(const int32_t (*from)[8], __m256i to[8]) {
  __m256i a[8], b[8];
  for (size_t i = 0; i < 8; ++i) a[i] = load(from[i]);
  for (size_t i = 0; i < 8; i += 2) b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]), b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
  for (size_t i = 0; i < 8; i += 4) {
    a[i] = _mm256_unpacklo_epi64(b[i], b[i + 2]), a[i + 1] = _mm256_unpackhi_epi64(b[i], b[i + 2]);
    a[i + 2] = _mm256_unpacklo_epi64(b[i + 1], b[i + 3]), a[i + 3] = _mm256_unpackhi_epi64(b[i + 1], b[i + 3]);
  }
  for (size_t i = 0; i < 4; ++i) {
    to[i] = _mm256_permute2x128_si256(a[i], a[i + 4], 0x20);
    to[i + 4] = _mm256_permute2x128_si256(a[i], a[i + 4], 0x31);
  }
}

// The products of a block of 256 with each token's, times their scales, in eight sums. The compiler would put additions off until
// it has no register left, so it's told in which order they come.
template <class Arithmetic, class Weights, size_t T>
inline void scaled_products(const Weights& weights, const int8_t* const* x, __m256i* sums) {
  for (size_t t = 0; t < T; ++t) sums[t] = _mm256_setzero_si256();
  each<8>([&](auto g) __attribute__((always_inline)) {
    const __m256i w = weights.weights(g), scale = scale_of<g>(weights);
    each<T>([&](auto t) __attribute__((always_inline)) {
      sums[t] = Arithmetic::add_products(sums[t], pairs<Weights>(w, load(x[t] + g * 32)), scale);
      __asm__("" : "+x"(sums[t]));
    });
  });
}

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

template <class Arithmetic, class Weights, size_t T>
void eight_rows_256(const DotRows& args, size_t first, size_t token, const Ahead& ahead) {
  constexpr size_t kBlocks = kColumns / 256 / T;   // whose sums are kept until all eight rows have them
  const EightRows eight(args, first);
  const InputRow* inputs = args.inputs + token;
  __m256 sum[T];
  for (size_t t = 0; t < T; ++t) sum[t] = _mm256_setzero_ps();
  // Where sub-blocks of 32 have a minimum, so many sums of inputs are enough.
  constexpr bool kEight = Weights::kMinima && Weights::kScaleColumns == 32;
  alignas(32) __m256i products[kBlocks][T][8];
  alignas(32) int32_t minus[kBlocks][T][8][kEight ? 4 : 8];
  __m128i eight_sums[kEight ? kBlocks : 1][T];
  alignas(16) uint16_t d[kBlocks][8], dmin[kBlocks][8];
  const size_t blocks = args.n / 256;
  for (size_t begin = 0; begin < blocks; begin += kBlocks) {
    const size_t count = blocks - begin < kBlocks ? blocks - begin : kBlocks;
    if constexpr (kEight)
      for (size_t b = 0; b < count; ++b)
        for (size_t t = 0; t < T; ++t) {
          const int16_t* sums = inputs[t].sum256 + (begin + b) * 16;
          eight_sums[b][t] = sums_of_32(sums);
        }
    for (size_t r = 0; r < 8; ++r)
      for (size_t b = 0; b < count; ++b) {
        const std::byte* block = eight.rows[r] + (begin + b) * Weights::kBytes;
        ask_ahead<Weights::kBytes>(block, ahead);
        const Weights weights(block);
        d[b][r] = load16(block + Weights::kScale);
        __m256i p[T];
        const int8_t* bytes[T];
        for (size_t t = 0; t < T; ++t) bytes[t] = inputs[t].q256 + (begin + b) * 256;
        Arithmetic::template scaled_products<Weights, T>(weights, bytes, p);
        for (size_t t = 0; t < T; ++t) {
          const __m256i x = load(inputs[t].sum256 + (begin + b) * 16);
          if constexpr (kEight)
            _mm_store_si128(reinterpret_cast<__m128i*>(minus[b][t][r]), _mm_madd_epi16(weights.eight_minima(), eight_sums[b][t]));
          else if constexpr (Weights::kMinima)
            _mm256_store_si256(reinterpret_cast<__m256i*>(minus[b][t][r]), _mm256_madd_epi16(weights.minima, x));
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

template <class Arithmetic, class Weights, size_t T>
void eight_rows_32(const DotRows& args, size_t first, size_t token, const Ahead& ahead) {
  constexpr size_t kBlocks = kColumns / 32 / T;
  const EightRows eight(args, first);
  const InputRow* inputs = args.inputs + token;
  __m256 sum[T];
  for (size_t t = 0; t < T; ++t) sum[t] = _mm256_setzero_ps();
  alignas(32) int32_t products[T][kBlocks / 8][8][8];   // [token][block / 8][row][block % 8]
  alignas(16) uint16_t d[kBlocks][8], m[kBlocks][8];
  const size_t blocks = args.n / 32;
  for (size_t begin = 0; begin < blocks; begin += kBlocks) {
    const size_t count = blocks - begin < kBlocks ? blocks - begin : kBlocks;
    const int8_t* x[T];
    for (size_t t = 0; t < T; ++t) x[t] = inputs[t].q32 + begin * 32;
    for (size_t r = 0; r < 8; ++r) {
      const std::byte* row = eight.rows[r] + begin * Weights::kBytes;
      const auto dots = [&](size_t b, __m256i* sums) __attribute__((always_inline)) {
        const std::byte* block = row + b * Weights::kBytes;
        d[b][r] = load16(block);
        if constexpr (Weights::kMinimum) m[b][r] = load16(block + 2);
        const __m256i w = Weights::weights(block);
        each<T>([&](auto t) __attribute__((always_inline)) { sums[t] = Arithmetic::template dot<Weights>(w, load(x[t] + b * 32)); });
      };
      // Sums of four blocks; of pairs of them first, so that few vectors wait for others.
      const auto four = [&](size_t b) __attribute__((always_inline)) {
        __m256i v[4][T];
        ask_ahead<1>(row + b * Weights::kBytes, ahead);
        dots(b, v[0]), dots(b + 1, v[1]);
        each<T>([&](auto t) __attribute__((always_inline)) {
          v[0][t] = pair_sums(v[0][t], v[1][t]);
          __asm__("" : "+x"(v[0][t]));
        });
        ask_ahead<1>(row + (b + 2) * Weights::kBytes, ahead);
        dots(b + 2, v[2]), dots(b + 3, v[3]);
        for (size_t t = 0; t < T; ++t) {
          v[2][t] = pair_sums(v[2][t], v[3][t]);
          _mm_store_si128(reinterpret_cast<__m128i*>(products[t][b / 8][r] + b % 8), halves_added(four_sums(v[0][t], v[2][t])));
        }
      };
      size_t b = 0;
      for (; b + 8 <= count; b += 8) four(b), four(b + 4);
      if (b + 4 <= count) four(b), b += 4;
      for (; b < count; ++b) {
        __m256i v[T];
        dots(b, v);
        for (size_t t = 0; t < T; ++t) products[t][b / 8][r][b % 8] = sum_of(v[t]);
      }
    }
    for (size_t group = 0; group < count; group += 8)
      for (size_t t = 0; t < T; ++t) {
        __m256i p[8];
        transpose(products[t][group / 8], p);
        for (size_t i = 0; i < 8 && group + i < count; ++i) {
          const size_t b = group + i;
          const float scale = inputs[t].scale32[begin + b];
          const int total = inputs[t].sum32[begin + b];
          constexpr int kOffset = Weights::kSigned ? Arithmetic::kSignedOffset : Weights::kOffset;
          if constexpr (kOffset > 0) p[i] = _mm256_sub_epi32(p[i], _mm256_set1_epi32(kOffset * total));
          if constexpr (Weights::kMinimum)
            sum[t] = add_block(sum[t], scale, halves(d[b]), p[i], _mm256_mul_ps(halves(m[b]), _mm256_set1_ps(static_cast<float>(total))));
          else
            sum[t] = add_block(sum[t], scale, halves(d[b]), p[i]);
        }
      }
  }
  for (size_t t = 0; t < T; ++t) eight.store(sum[t], args.outputs[token + t] + args.first + first);
}

struct Few256 {
  static constexpr size_t kMost = 4;   // tokens at a time
  template <class Arithmetic, class Weights, size_t T> static constexpr auto kernel = eight_rows_256<Arithmetic, Weights, T>;
};
struct Few32 {
  static constexpr size_t kMost = 4;
  template <class Arithmetic, class Weights, size_t T> static constexpr auto kernel = eight_rows_32<Arithmetic, Weights, T>;
};

// Groups of T tokens, then of fewer; a group's inputs stay in the cache while the rows pass by.
template <class Few, class Arithmetic, class Weights, size_t T = Few::kMost>
void few_tokens(const DotRows& args, size_t token = 0) {
  const Ahead ahead = ahead_in(args.rows * args.row_bytes, !args.interleaved);
  for (; token + T <= args.tokens; token += T)
    for (size_t r = 0; r < args.rows; r += 8) Few::template kernel<Arithmetic, Weights, T>(args, r, token, ahead);
  if constexpr (T > 1)
    if (token < args.tokens) few_tokens<Few, Arithmetic, Weights, T - 1>(args, token);
}

}  // namespace
}  // namespace wenqu::engine::cpu
