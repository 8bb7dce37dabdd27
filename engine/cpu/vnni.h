// What the AVX-512 and AMX kernels share.
//
// Everything here has internal linkage: files of different instruction sets must not share one copy.
#pragma once

#include "engine/cpu/few_tokens.h"
#include "engine/cpu/tile.h"

namespace wenqu::engine::cpu {
namespace {

inline int32_t load32(const void* p) {
  int32_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return bits;
}

inline __m256i above_zero(__m256i w) { return _mm256_xor_si256(w, _mm256_set1_epi8(-128)); }   // 128 added

inline __m512i twice(const void* p) { return _mm512_broadcast_i64x4(load(p)); }
inline __m512i in_halves(int first, int second) {   // of 16 bits
  return _mm512_inserti64x4(_mm512_set1_epi16(static_cast<short>(first)), _mm256_set1_epi16(static_cast<short>(second)), 1);
}

// Weights::weights(2 * pair) and those of the next group.
inline __m512i two_groups(const WeightsQ4K& w, int pair) {
  return _mm512_and_si512(_mm512_srlv_epi16(twice(w.block + 16 + pair * 32), in_halves(0, 4)), _mm512_set1_epi8(15));
}
inline __m512i two_groups(const WeightsQ5K& w, int pair) {
  const __m512i low = _mm512_and_si512(_mm512_srlv_epi16(twice(w.block + 48 + pair * 32), in_halves(0, 4)), _mm512_set1_epi8(15));
  const __mmask64 high = _mm512_test_epi8_mask(twice(w.block + 16), in_halves(0x0101 << pair * 2, 0x0202 << pair * 2));
  return _mm512_mask_add_epi8(low, high, low, _mm512_set1_epi8(16));
}
inline __m512i two_groups(const WeightsQ6K& w, int pair) {
  const __m512i packed = _mm512_loadu_si512(w.block + pair / 2 * 64), both = twice(w.block + 128 + pair / 2 * 32);
  const __m512i low = _mm512_and_si512(pair % 2 ? _mm512_srli_epi16(packed, 4) : packed, _mm512_set1_epi8(15));
  const __m512i high = pair % 2 ? _mm512_srlv_epi16(both, in_halves(0, 2)) : _mm512_sllv_epi16(both, in_halves(4, 2));
  return _mm512_or_si512(low, _mm512_and_si512(high, _mm512_set1_epi8(0x30)));
}
template <class Weights>
constexpr bool kHasTwoGroups = requires(const Weights& w) { two_groups(w, 0); };

// Of each of their sub-blocks of 16, where its scale lies among Weights::scales: even ones stand before odd ones.
inline __m512i scale_places(int pair) {
  const auto eight_times = [](int place) { return _mm_set1_epi16(static_cast<short>(place)); };
  const __m256i first = _mm256_set_m128i(eight_times(pair * 2 + 8), eight_times(pair * 2));
  const __m256i second = _mm256_set_m128i(eight_times(pair * 2 + 9), eight_times(pair * 2 + 1));
  return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
}

struct Arithmetic {
  template <class Weights, size_t T>
  static void scaled_products(const Weights& weights, const int8_t* const* x, __m256i* sums) {
    if constexpr (kHasTwoGroups<Weights>) {
      __m512i both[T];
      for (size_t t = 0; t < T; ++t) both[t] = _mm512_setzero_si512();
#pragma GCC unroll 4
      for (int pair = 0; pair < 4; ++pair) {
        const __m512i w = two_groups(weights, pair), scale = _mm512_permutexvar_epi16(scale_places(pair), _mm512_castsi256_si512(weights.scales));
        for (size_t t = 0; t < T; ++t)
          both[t] = _mm512_dpwssd_epi32(both[t], _mm512_maddubs_epi16(w, _mm512_loadu_si512(x[t] + pair * 64)), scale);
      }
      for (size_t t = 0; t < T; ++t) sums[t] = _mm256_add_epi32(_mm512_castsi512_si256(both[t]), _mm512_extracti64x4_epi64(both[t], 1));
    } else {
      cpu::scaled_products<Arithmetic, Weights, T>(weights, x, sums);
    }
  }
  static constexpr int kSignedOffset = 128;
  static __m256i add_products(__m256i sums, __m256i pairs, __m256i scales) { return _mm256_dpwssd_epi32(sums, pairs, scales); }
  template <class Weights>
  static __m256i dot(__m256i w, __m256i x) {
    return _mm256_dpbusd_epi32(_mm256_setzero_si256(), Weights::kSigned ? above_zero(w) : w, x);
  }
  template <class Weights>
  static __m256i four_dots(const __m256i w[4], __m256i x0, __m256i x1, __m256i x2, __m256i x3) {
    const auto bytes = [](__m256i v) { return Weights::kSigned ? above_zero(v) : v; };
    const __m256i first = _mm256_dpbusd_epi32(dot<Weights>(w[0], x0), bytes(w[1]), x1), second = _mm256_dpbusd_epi32(dot<Weights>(w[2], x2), bytes(w[3]), x3);
    return _mm256_add_epi32(first, second);
  }
};

// A tile's results for a token with those of a block of 32 added. total: the sum of the token's 32 inputs.
template <class Weights>
inline __m512 with_block_32(__m512 sum, float scale, __m512 d, __m512 products, const float* m, int32_t total) {
  if constexpr (Weights::kMinimum) {
    const __m512 addend = _mm512_mul_ps(_mm512_load_ps(m), _mm512_set1_ps(static_cast<float>(total)));
    return _mm512_fmadd_ps(_mm512_set1_ps(scale), _mm512_fmadd_ps(d, products, addend), sum);
  } else {
    return _mm512_fmadd_ps(d, _mm512_mul_ps(_mm512_set1_ps(scale), products), sum);
  }
}

}  // namespace
}  // namespace wenqu::engine::cpu
