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

struct Arithmetic {
  static constexpr int kSignedOffset = 128;
  static __m256i add_products(__m256i sums, __m256i pairs, __m256i scales) { return _mm256_dpwssd_epi32(sums, pairs, scales); }
  template <class Weights>
  static __m256i dot(__m256i w, __m256i x) {
    return _mm256_dpbusd_epi32(_mm256_setzero_si256(), Weights::kSigned ? above_zero(w) : w, x);
  }
};

// What all tokens that meet a tile's block of 256 share. kOffset: the weights stood above their values, by what
// tile.sums says.
template <class Weights, bool kOffset>
class Block256 {
 public:
  explicit Block256(const Tile& tile) : d_(_mm512_load_ps(tile.d[0])), m_(_mm512_load_ps(tile.m[0])) {
    for (size_t i = 0; i < 8; ++i) sums_[i] = _mm512_load_si512(tile.sums[i]);
  }

  // Adds to the results of the tile's rows for a token.
  void add(size_t block, const InputRow& input, __m512i products, float* sums) const {
    __m512i minus = _mm512_setzero_si512();
    if constexpr (Weights::kMinima || kOffset)
      for (size_t i = 0; i < 8; ++i)
        minus = _mm512_dpwssd_epi32(minus, sums_[i], _mm512_set1_epi32(load32(input.sum256 + block * 16 + i * 2)));
    if constexpr (kOffset) products = _mm512_sub_epi32(products, minus);
    const __m512 p = _mm512_cvtepi32_ps(products), scale = _mm512_set1_ps(input.scale256[block]), sum = _mm512_load_ps(sums);
    if constexpr (Weights::kMinima)
      _mm512_store_ps(sums, _mm512_fmadd_ps(scale, _mm512_fmsub_ps(d_, p, _mm512_mul_ps(m_, _mm512_cvtepi32_ps(minus))), sum));
    else
      _mm512_store_ps(sums, _mm512_fmadd_ps(d_, _mm512_mul_ps(scale, p), sum));
  }

 private:
  const __m512 d_, m_;
  __m512i sums_[8];
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
