// AVX2, FMA and F16C. This file alone is compiled for them, so every helper here is local to it: a
// shared inline function could be linked into code that runs on any processor.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cmath>
#include <cstring>

#include "engine/cpu/blocks.h"
#include "engine/cpu/kernels.h"

namespace wenqu::engine::cpu {
namespace {

// Tokens that share one unpacking of a weight block; three of those that need four sums each, which is what
// the registers hold.
constexpr size_t kTokens = 4, kFloatTokens = 3;

inline float horizontal_sum(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

inline float half(const void* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return _cvtsh_ss(bits);
}

// Runs Row<T> over all rows for groups of T tokens, then for smaller ones; a group's inputs stay in the cache
// while the rows pass by.
template <template <size_t> class Row, size_t T = kTokens>
void dot_rows(const DotRows& args, size_t t = 0) {
  for (; t + T <= args.tokens; t += T)
    for (size_t r = 0; r < args.rows; ++r) {
      float out[T];
      Row<T>::dot(args.weights + r * args.row_bytes, args.n, args.inputs + t, out);
      for (size_t k = 0; k < T; ++k) args.outputs[t + k][args.first + r] = out[k];
    }
  if constexpr (T > 1)
    if (t < args.tokens) dot_rows<Row, (T + 1) / 2>(args, t);
}
template <template <size_t> class Row, size_t T = kTokens>
void dot_all_rows(const DotRows& args) { dot_rows<Row, T>(args); }

// ------------------------------------------------------------------ floats

struct LoadF32 {
  static constexpr size_t kBytes = 4;
  static __m256 eight(const std::byte* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
  static float one(const std::byte* p) {
    float value;
    std::memcpy(&value, p, sizeof(value));
    return value;
  }
};
struct LoadF16 {
  static constexpr size_t kBytes = 2;
  static __m256 eight(const std::byte* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static float one(const std::byte* p) { return half(p); }
};
struct LoadBF16 {
  static constexpr size_t kBytes = 2;
  static __m256 eight(const std::byte* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  static float one(const std::byte* p) {
    uint16_t bits;
    std::memcpy(&bits, p, sizeof(bits));
    return bfloat_to_float(bits);
  }
};

// Four sums of eight, folded in llama.cpp's order, so that its figures can be met to the last bit.
inline float fold(__m256 s0, __m256 s1, __m256 s2, __m256 s3) {
  const __m256 s = _mm256_add_ps(_mm256_add_ps(s0, s2), _mm256_add_ps(s1, s3));
  const __m128 h = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  const __m128 p = _mm_hadd_ps(h, h);
  return _mm_cvtss_f32(_mm_hadd_ps(p, p));
}

template <typename Load, size_t T>
void dot_floats(const std::byte* row, size_t n, const InputRow* inputs, float* out) {
  __m256 sum[T][4];
  for (size_t t = 0; t < T; ++t)
    for (int k = 0; k < 4; ++k) sum[t][k] = _mm256_setzero_ps();
  size_t i = 0;
  for (; i + 32 <= n; i += 32)
    for (size_t k = 0; k < 4; ++k) {
      const __m256 w = Load::eight(row + (i + k * 8) * Load::kBytes);
      for (size_t t = 0; t < T; ++t) sum[t][k] = _mm256_fmadd_ps(w, _mm256_loadu_ps(inputs[t].values + i + k * 8), sum[t][k]);
    }
  for (size_t t = 0; t < T; ++t) {
    out[t] = fold(sum[t][0], sum[t][1], sum[t][2], sum[t][3]);
    for (size_t k = i; k < n; ++k) out[t] = std::fma(Load::one(row + k * Load::kBytes), inputs[t].values[k], out[t]);
  }
}

template <size_t T> struct RowF32 { static constexpr auto dot = dot_floats<LoadF32, T>; };
template <size_t T> struct RowF16 { static constexpr auto dot = dot_floats<LoadF16, T>; };
template <size_t T> struct RowBF16 { static constexpr auto dot = dot_floats<LoadBF16, T>; };

// ------------------------------------------------------------------ blocks of 32

// 32 values of four bits: the low halves of 16 bytes, then the high ones.
inline __m256i nibbles(const void* p) {
  const __m128i packed = _mm_loadu_si128(static_cast<const __m128i*>(p));
  return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(packed, 4), packed), _mm256_set1_epi8(15));
}

// 16 in each byte whose bit is set.
inline __m256i fifth_bits(const void* p) {
  int32_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
  const __m256i own = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201));
  return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(spread, own), own), _mm256_set1_epi8(16));
}

inline __m256i non_linear(__m256i q) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kNonLinear))), q);
}

// A type's 32 weights as bytes, and whether it has a minimum behind its scale.
struct WeightsQ8_0 {
  static constexpr size_t kBytes = sizeof(BlockQ8_0);
  static constexpr bool kMinimum = false;
  static __m256i of(const std::byte* block) { return load(block + 2); }
};
struct WeightsQ4_0 {
  static constexpr size_t kBytes = sizeof(BlockQ4_0);
  static constexpr bool kMinimum = false;
  static __m256i of(const std::byte* block) { return _mm256_sub_epi8(nibbles(block + 2), _mm256_set1_epi8(8)); }
};
struct WeightsQ4_1 {
  static constexpr size_t kBytes = sizeof(BlockQ4_1);
  static constexpr bool kMinimum = true;
  static __m256i of(const std::byte* block) { return nibbles(block + 4); }
};
struct WeightsQ5_0 {
  static constexpr size_t kBytes = sizeof(BlockQ5_0);
  static constexpr bool kMinimum = false;
  static __m256i of(const std::byte* block) {
    return _mm256_sub_epi8(_mm256_or_si256(nibbles(block + 6), fifth_bits(block + 2)), _mm256_set1_epi8(16));
  }
};
struct WeightsQ5_1 {
  static constexpr size_t kBytes = sizeof(BlockQ5_1);
  static constexpr bool kMinimum = true;
  static __m256i of(const std::byte* block) { return _mm256_or_si256(nibbles(block + 8), fifth_bits(block + 4)); }
};
struct WeightsIQ4NL {
  static constexpr size_t kBytes = sizeof(BlockIQ4NL);
  static constexpr bool kMinimum = false;
  static __m256i of(const std::byte* block) { return non_linear(nibbles(block + 2)); }
};

template <class Weights, size_t T>
struct Row32 {
  static void dot(const std::byte* row, size_t n, const InputRow* inputs, float* out) {
    __m256 sum[T];
    float minima[T] = {};
    for (size_t t = 0; t < T; ++t) sum[t] = _mm256_setzero_ps();
    for (size_t b = 0; b < n / 32; ++b) {
      const std::byte* block = row + b * Weights::kBytes;
      const float d = half(block);
      const __m256i w = Weights::of(block);
      const __m256i magnitude = _mm256_abs_epi8(w);
      for (size_t t = 0; t < T; ++t) {
        const __m256i x = _mm256_sign_epi8(load(inputs[t].q32 + b * 32), w);
        const __m256i pairs = _mm256_maddubs_epi16(magnitude, x);
        const __m256 products = _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        sum[t] = _mm256_fmadd_ps(_mm256_set1_ps(d * inputs[t].scale32[b]), products, sum[t]);
      }
      if constexpr (Weights::kMinimum) {
        const float m = half(block + 2);
        for (size_t t = 0; t < T; ++t) minima[t] += m * (inputs[t].scale32[b] * static_cast<float>(inputs[t].sum32[b]));
      }
    }
    for (size_t t = 0; t < T; ++t) out[t] = horizontal_sum(sum[t]) + minima[t];
  }
};
template <size_t T> using RowQ8_0 = Row32<WeightsQ8_0, T>;
template <size_t T> using RowQ4_0 = Row32<WeightsQ4_0, T>;
template <size_t T> using RowQ4_1 = Row32<WeightsQ4_1, T>;
template <size_t T> using RowQ5_0 = Row32<WeightsQ5_0, T>;
template <size_t T> using RowQ5_1 = Row32<WeightsQ5_1, T>;
template <size_t T> using RowIQ4NL = Row32<WeightsIQ4NL, T>;

// ------------------------------------------------------------------ Q4_K, Q5_K

template <bool kFifthBit, size_t T>
struct RowQ4KLike {
  static void dot(const std::byte* row, size_t n, const InputRow* inputs, float* out) {
    const __m256i low_bits = _mm256_set1_epi8(15);
    __m256 sum[T];
    __m128 minus[T];
    for (size_t t = 0; t < T; ++t) sum[t] = _mm256_setzero_ps(), minus[t] = _mm_setzero_ps();
    for (size_t b = 0; b < n / 256; ++b) {
      const std::byte* block = row + b * (kFifthBit ? sizeof(BlockQ5K) : sizeof(BlockQ4K));
      const std::byte* q = block + (kFifthBit ? 48 : 16);
      const float d = half(block), dmin = half(block + 2);
      alignas(8) uint8_t scale_bytes[8], minimum_bytes[8];
      unpack_q4k_scales(reinterpret_cast<const uint8_t*>(block + 4), scale_bytes, minimum_bytes);
      alignas(16) int16_t scales[8];
      _mm_store_si128(reinterpret_cast<__m128i*>(scales),
                      _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(scale_bytes))));
      const __m128i minima = _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(minimum_bytes)));
      __m256i products[T];
      for (size_t t = 0; t < T; ++t) {
        products[t] = _mm256_setzero_si256();
        const __m128i sums = _mm_loadu_si128(reinterpret_cast<const __m128i*>(inputs[t].sum256 + b * 8));
        minus[t] = _mm_fmadd_ps(_mm_set1_ps(dmin * inputs[t].scale256[b]), _mm_cvtepi32_ps(_mm_madd_epi16(minima, sums)), minus[t]);
      }
      for (size_t pair = 0; pair < 4; ++pair) {
        const __m256i packed = load(q + pair * 32);
        __m256i first = _mm256_and_si256(packed, low_bits);
        __m256i second = _mm256_and_si256(_mm256_srli_epi16(packed, 4), low_bits);
        if constexpr (kFifthBit) {
          const __m256i one = _mm256_set1_epi8(1), high = load(block + 16);
          const __m256i bit0 = _mm256_and_si256(_mm256_srli_epi16(high, static_cast<int>(pair * 2)), one);
          const __m256i bit1 = _mm256_and_si256(_mm256_srli_epi16(high, static_cast<int>(pair * 2 + 1)), one);
          first = _mm256_or_si256(first, _mm256_slli_epi16(bit0, 4));
          second = _mm256_or_si256(second, _mm256_slli_epi16(bit1, 4));
        }
        const __m256i scale0 = _mm256_set1_epi16(scales[pair * 2]), scale1 = _mm256_set1_epi16(scales[pair * 2 + 1]);
        for (size_t t = 0; t < T; ++t) {
          const int8_t* x = inputs[t].q256 + b * 256 + pair * 64;
          const __m256i p = _mm256_madd_epi16(_mm256_maddubs_epi16(first, load(x)), scale0);
          const __m256i r = _mm256_madd_epi16(_mm256_maddubs_epi16(second, load(x + 32)), scale1);
          products[t] = _mm256_add_epi32(products[t], _mm256_add_epi32(p, r));
        }
      }
      for (size_t t = 0; t < T; ++t)
        sum[t] = _mm256_fmadd_ps(_mm256_set1_ps(d * inputs[t].scale256[b]), _mm256_cvtepi32_ps(products[t]), sum[t]);
    }
    for (size_t t = 0; t < T; ++t) {
      __m128 m = _mm_add_ps(minus[t], _mm_movehl_ps(minus[t], minus[t]));
      m = _mm_add_ss(m, _mm_movehdup_ps(m));
      out[t] = horizontal_sum(sum[t]) - _mm_cvtss_f32(m);
    }
  }
};

// ------------------------------------------------------------------ Q6_K

template <size_t T>
struct RowQ6K {
  static void dot(const std::byte* row, size_t n, const InputRow* inputs, float* out) {
    const __m256i low_bits = _mm256_set1_epi8(15), two_bits = _mm256_set1_epi8(3), offset = _mm256_set1_epi8(32);
    __m256 sum[T];
    for (size_t t = 0; t < T; ++t) sum[t] = _mm256_setzero_ps();
    for (size_t b = 0; b < n / 256; ++b) {
      const std::byte* block = row + b * sizeof(BlockQ6K);
      const int8_t* scales = reinterpret_cast<const int8_t*>(block + 192);
      const float d = half(block + 208);
      __m256i products[T];
      for (size_t t = 0; t < T; ++t) products[t] = _mm256_setzero_si256();
      for (size_t part = 0; part < 2; ++part) {
        const __m256i low0 = load(block + part * 64), low1 = load(block + part * 64 + 32);
        const __m256i high = load(block + 128 + part * 32);
        const __m256i unpacked[4] = {
            _mm256_or_si256(_mm256_and_si256(low0, low_bits), _mm256_slli_epi16(_mm256_and_si256(high, two_bits), 4)),
            _mm256_or_si256(_mm256_and_si256(low1, low_bits),
                            _mm256_slli_epi16(_mm256_and_si256(_mm256_srli_epi16(high, 2), two_bits), 4)),
            _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(low0, 4), low_bits),
                            _mm256_slli_epi16(_mm256_and_si256(_mm256_srli_epi16(high, 4), two_bits), 4)),
            _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(low1, 4), low_bits),
                            _mm256_slli_epi16(_mm256_and_si256(_mm256_srli_epi16(high, 6), two_bits), 4)),
        };
        for (size_t quarter = 0; quarter < 4; ++quarter) {
          const __m256i w = _mm256_sub_epi8(unpacked[quarter], offset);
          const __m256i magnitude = _mm256_abs_epi8(w);
          const int8_t* pair = scales + part * 8 + quarter * 2;
          const __m256i scale = _mm256_set_m128i(_mm_set1_epi16(pair[1]), _mm_set1_epi16(pair[0]));
          for (size_t t = 0; t < T; ++t) {
            const __m256i x = _mm256_sign_epi8(load(inputs[t].q256 + b * 256 + part * 128 + quarter * 32), w);
            products[t] = _mm256_add_epi32(products[t], _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, x), scale));
          }
        }
      }
      for (size_t t = 0; t < T; ++t)
        sum[t] = _mm256_fmadd_ps(_mm256_set1_ps(d * inputs[t].scale256[b]), _mm256_cvtepi32_ps(products[t]), sum[t]);
    }
    for (size_t t = 0; t < T; ++t) out[t] = horizontal_sum(sum[t]);
  }
};

template <size_t T> using RowQ4K = RowQ4KLike<false, T>;
template <size_t T> using RowQ5K = RowQ4KLike<true, T>;

// ------------------------------------------------------------------ Q2_K, Q3_K, IQ4_XS

// A block's weights, 32 at a time, as bytes; the scales (and Q2_K's minima) of their two halves.
struct WeightsQ2K {
  static constexpr size_t kBytes = sizeof(BlockQ2K), kScale = 80;
  static constexpr bool kMinima = true;
  alignas(16) int8_t scales[16], minima[16];
  const std::byte* block;
  explicit WeightsQ2K(const std::byte* b) : block(b) {
    const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b)), low = _mm_set1_epi8(15);
    _mm_store_si128(reinterpret_cast<__m128i*>(scales), _mm_and_si128(packed, low));
    _mm_store_si128(reinterpret_cast<__m128i*>(minima), _mm_and_si128(_mm_srli_epi16(packed, 4), low));
  }
  __m256i group(int g) const {
    return _mm256_and_si256(_mm256_srli_epi16(load(block + 16 + g / 4 * 32), g % 4 * 2), _mm256_set1_epi8(3));
  }
};
struct WeightsQ3K {
  static constexpr size_t kBytes = sizeof(BlockQ3K), kScale = 108;
  static constexpr bool kMinima = false;
  int8_t scales[16];
  const std::byte* block;
  explicit WeightsQ3K(const std::byte* b) : block(b) { unpack_q3k_scales(reinterpret_cast<const uint8_t*>(b) + 96, scales); }
  __m256i group(int g) const {
    const __m256i low = _mm256_and_si256(_mm256_srli_epi16(load(block + 32 + g / 4 * 32), g % 4 * 2), _mm256_set1_epi8(3));
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(load(block), g), _mm256_set1_epi8(1));
    return _mm256_sub_epi8(_mm256_or_si256(low, _mm256_slli_epi16(high, 2)), _mm256_set1_epi8(4));
  }
};
struct WeightsIQ4XS {
  static constexpr size_t kBytes = sizeof(BlockIQ4XS), kScale = 0;
  static constexpr bool kMinima = false;
  int8_t scales[16];
  const std::byte* block;
  explicit WeightsIQ4XS(const std::byte* b) : block(b) {
    uint16_t high;
    std::memcpy(&high, b + 2, sizeof(high));
    int8_t eight[8];
    unpack_iq4xs_scales(high, reinterpret_cast<const uint8_t*>(b) + 4, eight);
    for (int i = 0; i < 16; ++i) scales[i] = eight[i / 2];
  }
  __m256i group(int g) const { return non_linear(nibbles(block + 8 + g * 16)); }
};

template <class Weights, size_t T>
struct Row256 {
  static __m256i pair(const int8_t* of, int g) { return _mm256_set_m128i(_mm_set1_epi16(of[g * 2 + 1]), _mm_set1_epi16(of[g * 2])); }

  static void dot(const std::byte* row, size_t n, const InputRow* inputs, float* out) {
    __m256 sum[T];
    for (size_t t = 0; t < T; ++t) sum[t] = _mm256_setzero_ps();
    for (size_t b = 0; b < n / 256; ++b) {
      const std::byte* block = row + b * Weights::kBytes;
      const Weights weights(block);
      const float d = half(block + Weights::kScale);
      __m256i products[T], minus[T];
      for (size_t t = 0; t < T; ++t) products[t] = minus[t] = _mm256_setzero_si256();
      for (int g = 0; g < 8; ++g) {
        const __m256i w = weights.group(g), magnitude = _mm256_abs_epi8(w), scale = pair(weights.scales, g);
        for (size_t t = 0; t < T; ++t) {
          const __m256i x = load(inputs[t].q256 + b * 256 + static_cast<size_t>(g) * 32);
          const __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x, w));
          products[t] = _mm256_add_epi32(products[t], _mm256_madd_epi16(pairs, scale));
          if constexpr (Weights::kMinima) {
            const __m256i sums = _mm256_maddubs_epi16(_mm256_set1_epi8(1), x);
            minus[t] = _mm256_add_epi32(minus[t], _mm256_madd_epi16(sums, pair(weights.minima, g)));
          }
        }
      }
      for (size_t t = 0; t < T; ++t) {
        const float scale = inputs[t].scale256[b];
        sum[t] = _mm256_fmadd_ps(_mm256_set1_ps(d * scale), _mm256_cvtepi32_ps(products[t]), sum[t]);
        if constexpr (Weights::kMinima)
          sum[t] = _mm256_fnmadd_ps(_mm256_set1_ps(half(block + Weights::kScale + 2) * scale), _mm256_cvtepi32_ps(minus[t]), sum[t]);
      }
    }
    for (size_t t = 0; t < T; ++t) out[t] = horizontal_sum(sum[t]);
  }
};
template <size_t T> using RowQ2K = Row256<WeightsQ2K, T>;
template <size_t T> using RowQ3K = Row256<WeightsQ3K, T>;
template <size_t T> using RowIQ4XS = Row256<WeightsIQ4XS, T>;

// ------------------------------------------------------------------ rounding

// The largest magnitude of n values (a multiple of 8); NaN when any is not finite.
inline float largest_magnitude(const float* x, size_t n) {
  const __m256 absolute = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  __m256 largest = _mm256_setzero_ps(), watch = _mm256_setzero_ps();
  for (size_t i = 0; i < n; i += 8) {
    const __m256 v = _mm256_loadu_ps(x + i);
    largest = _mm256_max_ps(largest, _mm256_and_ps(v, absolute));
    watch = _mm256_add_ps(watch, _mm256_sub_ps(v, v));   // 0, or NaN where a value is not finite
  }
  if (_mm256_movemask_ps(_mm256_cmp_ps(watch, watch, _CMP_UNORD_Q))) return NAN;
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(largest), _mm256_extractf128_ps(largest, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

// Rounds 32 values times a factor to bytes, and gives their sum.
inline int32_t round_block(const float* x, __m256 factor, int8_t* q) {
  __m256i w[4];
  for (int i = 0; i < 4; ++i) w[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i * 8), factor));
  const __m256i total = _mm256_add_epi32(_mm256_add_epi32(w[0], w[1]), _mm256_add_epi32(w[2], w[3]));
  const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(w[0], w[1]), _mm256_packs_epi32(w[2], w[3]));
  // The packs work within 128-bit halves; this puts the groups of four back in order.
  const __m256i ordered = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), ordered);
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(total), _mm256_extracti128_si256(total, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1));
  return _mm_cvtsi128_si32(s);
}

void round32(const float* values, size_t n, int8_t* q, float* scale, int16_t* sum) {
  for (size_t b = 0; b < n / 32; ++b) {
    const float largest = largest_magnitude(values + b * 32, 32);
    scale[b] = round_to_half_precision(largest / 127);
    sum[b] = 0;
    if (largest > 0)
      sum[b] = static_cast<int16_t>(round_block(values + b * 32, _mm256_set1_ps(127 / largest), q + b * 32));
    else
      std::memset(q + b * 32, 0, 32);
  }
}

void round256(const float* values, size_t n, int8_t* q, float* scale, int16_t* sum) {
  for (size_t b = 0; b < n / 256; ++b) {
    const float* x = values + b * 256;
    float largest = largest_magnitude(x, 256);
    if (!(largest > 0)) {
      scale[b] = largest;
      std::memset(q + b * 256, 0, 256);
      std::memset(sum + b * 8, 0, 8 * sizeof(int16_t));
      continue;
    }
    // The sign of the first value of that magnitude.
    for (size_t i = 0; i < 256; ++i)
      if (std::fabs(x[i]) == largest) {
        largest = x[i];
        break;
      }
    const float inverse = -127 / largest;
    scale[b] = 1 / inverse;
    for (size_t sub = 0; sub < 8; ++sub)
      sum[b * 8 + sub] = static_cast<int16_t>(round_block(x + sub * 32, _mm256_set1_ps(inverse), q + b * 256 + sub * 32));
  }
}

// ------------------------------------------------------------------ vectors

// K sums of rows [begin, end), 16 numbers of each in registers while the rows pass by.
template <typename Load, size_t K>
void sum_some_rows(const SumRows& args, const WeightedSum* sums, size_t begin, size_t end) {
  size_t i = 0;
  for (; i + 16 <= args.n; i += 16) {
    __m256 low[K], high[K];
    for (size_t k = 0; k < K; ++k) {
      low[k] = _mm256_loadu_ps(sums[k].out + i);
      high[k] = _mm256_loadu_ps(sums[k].out + i + 8);
    }
    const std::byte* row = args.rows + begin * args.row_bytes + i * Load::kBytes;
    for (size_t r = begin; r < end; ++r, row += args.row_bytes) {
      const __m256 a = Load::eight(row), b = Load::eight(row + 8 * Load::kBytes);
      for (size_t k = 0; k < K; ++k) {
        const __m256 weight = _mm256_broadcast_ss(sums[k].weights + r);
        low[k] = _mm256_fmadd_ps(weight, a, low[k]);
        high[k] = _mm256_fmadd_ps(weight, b, high[k]);
      }
    }
    for (size_t k = 0; k < K; ++k) {
      _mm256_storeu_ps(sums[k].out + i, low[k]);
      _mm256_storeu_ps(sums[k].out + i + 8, high[k]);
    }
  }
  for (; i < args.n; ++i)
    for (size_t k = 0; k < K; ++k)
      for (size_t r = begin; r < end; ++r)
        sums[k].out[i] = std::fma(sums[k].weights[r], Load::one(args.rows + r * args.row_bytes + i * Load::kBytes), sums[k].out[i]);
}

template <typename Load>
void sum_rows(const SumRows& args) {
  constexpr size_t kSums = 6;   // what the registers hold
  size_t s = 0;
  for (; s + kSums <= args.count; s += kSums) {
    const WeightedSum* sums = args.sums + s;
    size_t common = sums[0].rows;
    for (size_t k = 1; k < kSums; ++k) common = sums[k].rows < common ? sums[k].rows : common;
    sum_some_rows<Load, kSums>(args, sums, 0, common);
    for (size_t k = 0; k < kSums; ++k)
      if (sums[k].rows > common) sum_some_rows<Load, 1>(args, sums + k, common, sums[k].rows);
  }
  for (; s < args.count; ++s) sum_some_rows<Load, 1>(args, args.sums + s, 0, args.sums[s].rows);
}

// e^x = 2^k * e^r with |r| <= ln(2)/2, and e^r = 1 + r + r^2 * q(r) by its Taylor series. ln(2) is taken in
// two parts, the first with trailing zeros, and the 1 is added last in one rounding, so that the error
// stays below one unit in the last place. NaN stays NaN.
inline __m256 exponential(__m256 x) {
  const __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
  const __m256 clamped = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(-87.3f)), _mm256_set1_ps(88.3f));
  const __m256 k = _mm256_round_ps(_mm256_mul_ps(clamped, _mm256_set1_ps(1.44269504f)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = _mm256_fnmadd_ps(k, _mm256_set1_ps(0x1.62E4p-1f), clamped);
  r = _mm256_fnmadd_ps(k, _mm256_set1_ps(0x1.7F7D1Cp-20f), r);
  __m256 q = _mm256_set1_ps(1.0f / 5040);
  for (const float c : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f}) q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(c));
  const __m256 rest = _mm256_fmadd_ps(_mm256_mul_ps(r, r), q, r);
  const __m256 power = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(k), _mm256_set1_epi32(127)), 23));
  const __m256 result = _mm256_fmadd_ps(power, rest, power);
  const __m256 tiny = _mm256_cmp_ps(x, _mm256_set1_ps(-87.3f), _CMP_LT_OQ);
  return _mm256_blendv_ps(_mm256_andnot_ps(tiny, result), x, nan);
}

float exp_sum(float* values, size_t n, float maximum) {
  const __m256 top = _mm256_set1_ps(maximum);
  __m256 sum = _mm256_setzero_ps();
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256 e = exponential(_mm256_sub_ps(_mm256_loadu_ps(values + i), top));
    _mm256_storeu_ps(values + i, e);
    sum = _mm256_add_ps(sum, e);
  }
  float total = horizontal_sum(sum);
  for (; i < n; ++i) total += values[i] = std::exp(values[i] - maximum);
  return total;
}

void silu_multiply(const float* gate, const float* up, float* out, size_t n) {
  const __m256 one = _mm256_set1_ps(1), zero = _mm256_setzero_ps();
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256 g = _mm256_loadu_ps(gate + i);
    const __m256 silu = _mm256_div_ps(g, _mm256_add_ps(one, exponential(_mm256_sub_ps(zero, g))));
    _mm256_storeu_ps(out + i, _mm256_mul_ps(silu, _mm256_loadu_ps(up + i)));
  }
  for (; i < n; ++i) out[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
}

}  // namespace

const Kernels& avx2_kernels() {
  static const Kernels table = {
      .name = "avx2",
      .f32 = dot_all_rows<RowF32, kFloatTokens>,
      .f16 = dot_all_rows<RowF16, kFloatTokens>,
      .bf16 = dot_all_rows<RowBF16, kFloatTokens>,
      .q8_0 = dot_all_rows<RowQ8_0>,
      .q4_0 = dot_all_rows<RowQ4_0>,
      .q4_1 = dot_all_rows<RowQ4_1>,
      .q5_0 = dot_all_rows<RowQ5_0>,
      .q5_1 = dot_all_rows<RowQ5_1>,
      .iq4_nl = dot_all_rows<RowIQ4NL>,
      .q2_k = dot_all_rows<RowQ2K>,
      .q3_k = dot_all_rows<RowQ3K>,
      .q4_k = dot_all_rows<RowQ4K>,
      .q5_k = dot_all_rows<RowQ5K>,
      .q6_k = dot_all_rows<RowQ6K>,
      .iq4_xs = dot_all_rows<RowIQ4XS>,
      .round32 = round32,
      .round256 = round256,
      .sum_rows_f32 = sum_rows<LoadF32>,
      .sum_rows_f16 = sum_rows<LoadF16>,
      .exp_sum = exp_sum,
      .silu_multiply = silu_multiply,
  };
  return table;
}

}  // namespace wenqu::engine::cpu

#endif  // __x86_64__
