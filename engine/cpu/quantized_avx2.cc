// Products of quantized weights with inputs of 8 bits, for AVX2. The products of a block are summed as whole numbers,
// which no order of additions changes; what is rounded, is rounded in one order everywhere (kernels.h).
#if defined(__x86_64__)

#include "engine/cpu/few_tokens.h"
#include "engine/cpu/kernel_sets.h"
#include "engine/cpu/tile.h"

namespace wenqu::engine::cpu {
namespace {

// From so many tokens on, unpacking a tile pays.
constexpr size_t kTileTokens = 6;

struct Arithmetic {
  template <class Weights, size_t T>
  static void scaled_products(const Weights& weights, const int8_t* const* x, __m256i* sums) {
    cpu::scaled_products<Arithmetic, Weights, T>(weights, x, sums);
  }
  static constexpr int kSignedOffset = 0;
  static __m256i add_products(__m256i sums, __m256i pairs, __m256i scales) { return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, scales)); }
  template <class Weights>
  static __m256i dot(__m256i w, __m256i x) { return _mm256_madd_epi16(pairs<Weights>(w, x), _mm256_set1_epi16(1)); }
};

// A scale stands twice.
struct Scaling {
  static __m256i first(__m256i pairs) { return _mm256_blend_epi16(pairs, _mm256_slli_epi32(pairs, 16), 0xAA); }
  static __m256i second(__m256i pairs) { return _mm256_blend_epi16(pairs, _mm256_srli_epi32(pairs, 16), 0x55); }
  template <class Weights> static __m256i bytes(__m256i w) { return w; }
  template <class Weights> static constexpr int offset_bits() { return Weights::kOffsetBits; }
};

template <class Weights> constexpr bool kInMemory = Weights::kSteps == 8;

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
      // Else the compiler puts the additions off until it has no register left.
      if constexpr (Weights::kSteps >= 4) __asm__("" : "+x"(s[t][0]), "+x"(s[t][1]));
    }
  }
  for (size_t t = 0; t < T; ++t)
    for (size_t half = 0; half < 2; ++half)
      products[t][half] = _mm256_add_epi32(products[t][half], _mm256_madd_epi16(s[t][half], scale[half]));
  // The registers are for the sums of 16 bits: those of 32 bits, of which there are few, wait in memory.
  if constexpr (kInMemory<Weights>)
    for (size_t t = 0; t < T; ++t) __asm__("" : "+m"(products[t][0]), "+m"(products[t][1]));
}

template <class Weights, size_t T>
void tile_256(const Tile& tile, size_t block, size_t, const InputRow* inputs, float (*sums)[kTileRows]) {
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

// multiply<T>(first token) for groups of as many tokens as the registers hold.
template <size_t T, typename Multiply>
void by_groups(size_t tokens, const Multiply& multiply, size_t t = 0) {
  for (; t + T <= tokens; t += T) multiply.template operator()<T>(t);
  if constexpr (T > 1)
    if (t < tokens) by_groups<T - 1>(tokens, multiply, t);
}
template <class Weights> constexpr size_t kTogether = kInMemory<Weights> ? 4 : 3;

template <class Weights>
void dot_256(const DotRows& args) {
  if (args.tokens < kTileTokens) return few_tokens<Few256, Arithmetic, Weights>(args);
  many_tokens_256<Scaling, Weights>(args, [](const Tile& tile, size_t block, size_t blocks, const InputRow* inputs, size_t tokens, float (*sums)[kTileRows]) {
    by_groups<kTogether<Weights>>(tokens, [&]<size_t T>(size_t t) { tile_256<Weights, T>(tile, block, blocks, inputs + t, sums + t); });
  });
}

template <class Weights>
void dot_32(const DotRows& args) {
  if (args.tokens < kTileTokens) return few_tokens<Few32, Arithmetic, Weights>(args);
  many_tokens_32<Scaling, Weights>(args, [](const Tile& tile, size_t block, size_t blocks, const InputRow* inputs, size_t tokens, float (*sums)[kTileRows]) {
    by_groups<kTogether<Weights>>(tokens, [&]<size_t T>(size_t t) { tile_32<Weights, T>(tile, block, blocks, inputs + t, sums + t); });
  });
}

}  // namespace

void use_avx2_products(Kernels& kernels) {
  kernels.q8_0 = dot_32<WeightsQ8_0>;
  kernels.q4_0 = dot_32<WeightsQ4_0>;
  kernels.q4_1 = dot_32<WeightsQ4_1>;
  kernels.q5_0 = dot_32<WeightsQ5_0>;
  kernels.q5_1 = dot_32<WeightsQ5_1>;
  kernels.iq4_nl = dot_32<WeightsIQ4NL>;
  kernels.q2_k = dot_256<WeightsQ2K>;
  kernels.q3_k = dot_256<WeightsQ3K>;
  kernels.q4_k = dot_256<WeightsQ4K>;
  kernels.q5_k = dot_256<WeightsQ5K>;
  kernels.q6_k = dot_256<WeightsQ6K>;
  kernels.iq4_xs = dot_256<WeightsIQ4XS>;
}

}  // namespace wenqu::engine::cpu

#endif  // __x86_64__
