// What the AVX2 kernels share: quantized blocks as vectors of bytes.
//
// Everything here has internal linkage: it is compiled for AVX2 and may not be linked into code that runs on any
// processor.
#pragma once

#include <immintrin.h>

#include <cstring>
#include <type_traits>
#include <utility>

#include "engine/cpu/blocks.h"
#include "engine/cpu/interleaved.h"
#include "engine/cpu/kernels.h"

namespace wenqu::engine::cpu {

namespace {

// f(0), f(1), ... as code, not as a loop: what is known of arrays then is known before the compiler gives out registers.
template <size_t N, typename F>
__attribute__((always_inline)) inline void each(const F& f) {
  [&]<size_t... I>(std::index_sequence<I...>) __attribute__((always_inline)) { (f(std::integral_constant<size_t, I>{}), ...); }(std::make_index_sequence<N>{});
}

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m128i load_half(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

// Asks for kBytes from p on, into the cache that kHint names.
template <size_t kBytes, auto kHint = _MM_HINT_T1>
__attribute__((always_inline)) inline void prefetch(const std::byte* p) {
  for (size_t line = 0; line < kBytes; line += 64) _mm_prefetch(reinterpret_cast<const char*>(p) + line, kHint);
}

inline __m256i broadcast32(const void* p) {
  int32_t v;
  std::memcpy(&v, p, 4);
  return _mm256_set1_epi32(v);
}

inline uint16_t load16(const void* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return bits;
}

// 32 values of four bits: the low halves of 16 bytes, then the high ones.
inline __m256i nibbles(const void* p) {
  const __m128i packed = load_half(p);
  return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(packed, 4), packed), _mm256_set1_epi8(15));
}

// 16 in each byte whose bit is set.
inline __m256i fifth_bits(const void* p) {
  int32_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  const __m256i spread = _mm256_shuffle_epi8(
      _mm256_set1_epi32(bits), _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
  const __m256i own = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201));
  return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(spread, own), own), _mm256_set1_epi8(16));
}

inline __m256i non_linear(__m256i q) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(load_half(kNonLinear)), q);
}

// Sixteen numbers in the order of InputRow::sum256: the even ones, then the odd ones.
inline __m256i even_then_odd(__m128i bytes) {
  return _mm256_cvtepi8_epi16(_mm_shuffle_epi8(bytes, _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15)));
}

// A block's sums of 32 in order, out of its sums of 16 (InputRow::sum256).
inline __m128i sums_of_32(const int16_t* sums_of_16) { return _mm_add_epi16(load_half(sums_of_16), load_half(sums_of_16 + 8)); }

// ------------------------------------------------------------------ blocks of 32
//
// weights(): 32 bytes that stand kOffset above their values, or, where they are signed, are the values. kSteps:
// how many products of pairs of them with inputs of 8 bits can be added in 16 bits. kCut: of types whose rows may lie
// eight side by side.

struct WeightsQ8_0 {
  static constexpr Cut kCut = cut_of(gguf::Type::q8_0);
  static constexpr size_t kBytes = sizeof(BlockQ8_0), kSteps = 1;
  static constexpr bool kSigned = true, kMinimum = false;
  static constexpr int kOffset = 0;
  static __m256i weights(const std::byte* block) { return load(block + 2); }
};
struct WeightsQ4_0 {
  static constexpr Cut kCut = cut_of(gguf::Type::q4_0);
  static constexpr size_t kBytes = sizeof(BlockQ4_0), kSteps = 8;
  static constexpr bool kSigned = false, kMinimum = false;
  static constexpr int kOffset = 8;
  static __m256i weights(const std::byte* block) { return nibbles(block + 2); }
};
struct WeightsQ4_1 {
  static constexpr Cut kCut = cut_of(gguf::Type::q4_1);
  static constexpr size_t kBytes = sizeof(BlockQ4_1), kSteps = 8;
  static constexpr bool kSigned = false, kMinimum = true;
  static constexpr int kOffset = 0;
  static __m256i weights(const std::byte* block) { return nibbles(block + 4); }
};
struct WeightsQ5_0 {
  static constexpr Cut kCut = cut_of(gguf::Type::q5_0);
  static constexpr size_t kBytes = sizeof(BlockQ5_0), kSteps = 4;
  static constexpr bool kSigned = false, kMinimum = false;
  static constexpr int kOffset = 16;
  static __m256i weights(const std::byte* block) { return _mm256_or_si256(nibbles(block + 6), fifth_bits(block + 2)); }
};
struct WeightsQ5_1 {
  static constexpr Cut kCut = cut_of(gguf::Type::q5_1);
  static constexpr size_t kBytes = sizeof(BlockQ5_1), kSteps = 4;
  static constexpr bool kSigned = false, kMinimum = true;
  static constexpr int kOffset = 0;
  static __m256i weights(const std::byte* block) { return _mm256_or_si256(nibbles(block + 8), fifth_bits(block + 4)); }
};
struct WeightsIQ4NL {
  static constexpr Cut kCut = cut_of(gguf::Type::iq4_nl);
  static constexpr size_t kBytes = sizeof(BlockIQ4NL), kSteps = 1;
  static constexpr bool kSigned = true, kMinimum = false;
  static constexpr int kOffset = 0;
  static __m256i weights(const std::byte* block) { return non_linear(nibbles(block + 2)); }
};

// ------------------------------------------------------------------ blocks of 256
//
// Objects of a block: weights(g): the bytes of columns [32 g, 32 g + 32), as above; scales and minima: of the
// sub-blocks of 16 in the order of InputRow::sum256; kScaleColumns: that share a scale; kScale: where the half floats of d, and dmin, lie. kOffset is 2
// to the power kOffsetBits, or 0.

// Q4_K's and Q5_K's scales and minima, of sub-blocks of 32, as bytes: scales, then minima; in both halves.
inline __m256i q4k_scales(const std::byte* block) {
  const __m256i v = _mm256_broadcastsi128_si256(load_half(block));
  const auto both = [](__m128i half) { return _mm256_broadcastsi128_si256(half); };
  const __m256i low = _mm256_srlv_epi32(_mm256_shuffle_epi8(v, both(_mm_setr_epi8(4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15))), both(_mm_setr_epi32(0, 0, 0, 4)));
  const __m256i high = _mm256_srli_epi32(_mm256_shuffle_epi8(v, both(_mm_setr_epi8(-1, -1, -1, -1, 4, 5, 6, 7, -1, -1, -1, -1, 8, 9, 10, 11))), 2);
  return _mm256_or_si256(_mm256_and_si256(low, both(_mm_setr_epi32(0x3F3F3F3F, 0x0F0F0F0F, 0x3F3F3F3F, 0x0F0F0F0F))), _mm256_and_si256(high, _mm256_set1_epi8(0x30)));
}

struct ScalesQ4K {
  static constexpr bool kSigned = false, kMinima = true;
  static constexpr int kOffsetBits = 0, kOffset = 0;
  static constexpr size_t kScale = 0, kScaleColumns = 32;
  __m256i both;
  __m256i scales, minima;
  explicit ScalesQ4K(const std::byte* block) : both(q4k_scales(block)) {
    const __m256i wide = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(both));
    scales = _mm256_permute2x128_si256(wide, wide, 0x00);
    minima = _mm256_permute2x128_si256(wide, wide, 0x11);
  }
  // A sub-block's scale in every lane. This shuffle takes its places from the instruction; others would load them.
  template <int kSubBlock>
  __m256i scale() const { return _mm256_shuffle_epi32(four_scales(kSubBlock >= 4), kSubBlock % 4 * 0x55); }
  // Those of four sub-blocks, each twice, in both halves.
  __m256i four_scales(bool second) const {
    const __m128i twice = _mm_setr_epi8(0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3, -1), later = _mm_setr_epi8(4, -1, 4, -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7, -1);
    return _mm256_shuffle_epi8(both, _mm256_broadcastsi128_si256(second ? later : twice));
  }
  __m128i eight_minima() const {
    return _mm_shuffle_epi8(_mm256_castsi256_si128(both), _mm_setr_epi8(8, -1, 9, -1, 10, -1, 11, -1, 12, -1, 13, -1, 14, -1, 15, -1));
  }
};

struct WeightsQ4K : ScalesQ4K {
  static constexpr Cut kCut = cut_of(gguf::Type::q4_k);
  static constexpr size_t kBytes = sizeof(BlockQ4K), kSteps = 8;
  const std::byte* block;
  explicit WeightsQ4K(const std::byte* b) : ScalesQ4K(b), block(b) {}
  __m256i weights(int g) const {
    const __m256i packed = load(block + 16 + g / 2 * 32);
    return _mm256_and_si256(g % 2 ? _mm256_srli_epi16(packed, 4) : packed, _mm256_set1_epi8(15));
  }
};

struct WeightsQ5K : ScalesQ4K {
  static constexpr Cut kCut = cut_of(gguf::Type::q5_k);
  static constexpr size_t kBytes = sizeof(BlockQ5K), kSteps = 4;
  const std::byte* block;
  explicit WeightsQ5K(const std::byte* b) : ScalesQ4K(b), block(b) {}
  __m256i weights(int g) const {
    const __m256i packed = load(block + 48 + g / 2 * 32), high = load(block + 16);
    const __m256i low = _mm256_and_si256(g % 2 ? _mm256_srli_epi16(packed, 4) : packed, _mm256_set1_epi8(15));
    const __m256i bit = g < 4 ? _mm256_slli_epi16(high, 4 - g) : _mm256_srli_epi16(high, g - 4);
    return _mm256_or_si256(low, _mm256_and_si256(bit, _mm256_set1_epi8(16)));
  }
};

struct WeightsQ6K {
  static constexpr Cut kCut = cut_of(gguf::Type::q6_k);
  static constexpr size_t kBytes = sizeof(BlockQ6K), kSteps = 2, kScale = 208, kScaleColumns = 16;
  static constexpr bool kSigned = false, kMinima = false;
  static constexpr int kOffsetBits = 5, kOffset = 32;
  __m256i scales;
  const std::byte* block;
  explicit WeightsQ6K(const std::byte* b) : scales(even_then_odd(load_half(b + 192))), block(b) {}
  __m256i weights(int g) const {
    const int quarter = g % 4;
    const __m256i packed = load(block + g / 4 * 64 + quarter % 2 * 32), high = load(block + 128 + g / 4 * 32);
    const __m256i low = _mm256_and_si256(quarter < 2 ? packed : _mm256_srli_epi16(packed, 4), _mm256_set1_epi8(15));
    const __m256i two = quarter < 2 ? _mm256_slli_epi16(high, 4 - quarter * 2) : quarter == 2 ? high : _mm256_srli_epi16(high, 2);
    return _mm256_or_si256(low, _mm256_and_si256(two, _mm256_set1_epi8(0x30)));
  }
};

struct WeightsQ2K {
  static constexpr size_t kBytes = sizeof(BlockQ2K), kSteps = 4, kScale = 80, kScaleColumns = 16;
  static constexpr bool kSigned = false, kMinima = true;
  static constexpr int kOffsetBits = 0, kOffset = 0;
  __m256i scales, minima;
  const std::byte* block;
  explicit WeightsQ2K(const std::byte* b) : block(b) {
    const __m128i packed = load_half(b), low = _mm_set1_epi8(15);
    scales = even_then_odd(_mm_and_si128(packed, low));
    minima = even_then_odd(_mm_and_si128(_mm_srli_epi16(packed, 4), low));
  }
  __m256i weights(int g) const {
    return _mm256_and_si256(_mm256_srli_epi16(load(block + 16 + g / 4 * 32), g % 4 * 2), _mm256_set1_epi8(3));
  }
};

struct WeightsQ3K {
  static constexpr size_t kBytes = sizeof(BlockQ3K), kSteps = 4, kScale = 108, kScaleColumns = 16;
  static constexpr bool kSigned = false, kMinima = false;
  static constexpr int kOffsetBits = 2, kOffset = 4;
  __m256i scales;
  const std::byte* block;
  explicit WeightsQ3K(const std::byte* b) : block(b) {
    alignas(16) int8_t bytes[16];
    unpack_q3k_scales(reinterpret_cast<const uint8_t*>(b) + 96, bytes);
    scales = even_then_odd(load_half(bytes));
  }
  __m256i weights(int g) const {
    const __m256i low = _mm256_and_si256(_mm256_srli_epi16(load(block + 32 + g / 4 * 32), g % 4 * 2), _mm256_set1_epi8(3));
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(load(block), g), _mm256_set1_epi8(1));
    return _mm256_or_si256(low, _mm256_slli_epi16(high, 2));
  }
};

struct WeightsIQ4XS {
  static constexpr Cut kCut = cut_of(gguf::Type::iq4_xs);
  static constexpr size_t kBytes = sizeof(BlockIQ4XS), kSteps = 1, kScale = 0, kScaleColumns = 32;
  static constexpr bool kSigned = true, kMinima = false;
  static constexpr int kOffsetBits = 0, kOffset = 0;
  __m256i scales;
  const std::byte* block;
  explicit WeightsIQ4XS(const std::byte* b) : block(b) {
    alignas(8) int8_t eight[8];
    unpack_iq4xs_scales(load16(b + 2), reinterpret_cast<const uint8_t*>(b) + 4, eight);
    const __m128i wide = _mm_cvtepi8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(eight)));
    scales = _mm256_set_m128i(wide, wide);
  }
  __m256i weights(int g) const { return non_linear(nibbles(block + 8 + g * 16)); }
};

template <class Weights> constexpr bool kHasCut = requires { Weights::kCut; };
template <class Weights> constexpr bool kOfBlocks256 = requires { Weights::kScale; };

// Pairs of products of bytes.
template <class Weights>
inline __m256i pairs(__m256i w, __m256i x) {
  if constexpr (Weights::kSigned) return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  return _mm256_maddubs_epi16(w, x);
}

// What a block adds to eight rows' results (kernels.h).
inline __m256 add_block(__m256 sum, float scale, __m256 d, __m256i products) {
  return _mm256_fmadd_ps(d, _mm256_mul_ps(_mm256_set1_ps(scale), _mm256_cvtepi32_ps(products)), sum);
}
inline __m256 add_block(__m256 sum, float scale, __m256 d, __m256i products, __m256 addend) {
  return _mm256_fmadd_ps(_mm256_set1_ps(scale), _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(products), addend), sum);
}
// -dmin * minus
inline __m256 negated_product(__m256 dmin, __m256i minus) {
  return _mm256_xor_ps(_mm256_mul_ps(dmin, _mm256_cvtepi32_ps(minus)), _mm256_set1_ps(-0.0f));
}

}  // namespace
}  // namespace wenqu::engine::cpu
