// Products of quantized weights with inputs of 8 bits, for AVX-512 with VNNI: four products of bytes are added in one
// instruction. The weights stand above their values, as the instruction wants one side unsigned.
#if defined(__x86_64__)

#include "engine/cpu/few_interleaved.h"
#include "engine/cpu/kernel_sets.h"
#include "engine/cpu/tile.h"
#include "engine/cpu/vnni.h"

namespace wenqu::engine::cpu {
namespace {

// From so many tokens on, unpacking a tile pays.
constexpr size_t kTileTokens = 6;

// A scale fills 32 bits.
struct Scaling {
  static constexpr bool kMagnitudes = false;
  static __m256i first(__m256i pairs) { return _mm256_srai_epi32(_mm256_slli_epi32(pairs, 16), 16); }
  static __m256i second(__m256i pairs) { return _mm256_srai_epi32(pairs, 16); }
  template <class Weights> static __m256i bytes(__m256i w) { return Weights::kSigned ? above_zero(w) : w; }
  template <class Weights> static constexpr int offset_bits() { return Weights::kSigned ? 7 : Weights::kOffsetBits; }
};

template <size_t T, size_t kSteps>
inline void add_steps(const Tile& tile, size_t step, const int8_t* const* x, __m512i* dots) {
#pragma GCC unroll 8
  for (size_t k = 0; k < kSteps; ++k) {
    const __m512i w = _mm512_load_si512(tile.w[step + k]);
    for (size_t t = 0; t < T; ++t) dots[t] = _mm512_dpbusd_epi32(dots[t], w, _mm512_set1_epi32(load32(x[t] + (step + k) * 4)));
  }
}

template <class Weights, size_t T>
void tile_256(const Tile& tile, size_t block, size_t, const InputRow* inputs, Sums<kTileRows> sums) {
  constexpr size_t kSteps = Weights::kScaleColumns / 4;
  const int8_t* x[T];
  __m512i products[T];
  for (size_t t = 0; t < T; ++t) x[t] = inputs[t].q256 + block * 256, products[t] = _mm512_setzero_si512();
  for (size_t step = 0; step < kTileColumns / 4; step += kSteps) {
    __m512i dots[T];
    for (size_t t = 0; t < T; ++t) dots[t] = _mm512_setzero_si512();
    add_steps<T, kSteps>(tile, step, x, dots);
    const __m512i scale = _mm512_load_si512(tile.scales[step / 4]);
    for (size_t t = 0; t < T; ++t) products[t] = _mm512_add_epi32(products[t], _mm512_mullo_epi32(dots[t], scale));
  }
  const Block256<Weights, (Weights::kSigned || Weights::kOffset > 0)> shared(tile);
  for (size_t t = 0; t < T; ++t) shared.add(block, inputs[t], products[t], sums[t]);
}

template <class Weights, size_t T>
void tile_32(const Tile& tile, size_t block, size_t blocks, const InputRow* inputs, Sums<kTileRows> sums) {
  constexpr int kOffset = Weights::kSigned ? 128 : Weights::kOffset;
  const int8_t* x[T];
  for (size_t t = 0; t < T; ++t) x[t] = inputs[t].q32 + block * 32;
  __m512 sum[T];
  for (size_t t = 0; t < T; ++t) sum[t] = _mm512_load_ps(sums[t]);
  for (size_t b = 0; b < blocks; ++b) {
    __m512i dots[T];
    for (size_t t = 0; t < T; ++t) dots[t] = _mm512_set1_epi32(-kOffset * inputs[t].sum32[block + b]);
    add_steps<T, 8>(tile, b * 8, x, dots);
    const __m512 d = _mm512_load_ps(tile.d[b]);
    for (size_t t = 0; t < T; ++t)
      sum[t] = with_block_32<Weights>(sum[t], inputs[t].scale32[block + b], d, _mm512_cvtepi32_ps(dots[t]), tile.m[b], inputs[t].sum32[block + b]);
  }
  for (size_t t = 0; t < T; ++t) _mm512_store_ps(sums[t], sum[t]);
}

// Eight tokens at a time, which is what hides the instructions' latency.
template <size_t T = 8, typename Multiply>
void by_eights(size_t tokens, const Multiply& multiply, size_t t = 0) {
  for (; t + T <= tokens; t += T) multiply.template operator()<T>(t);
  if constexpr (T > 1)
    if (t < tokens) by_eights<T / 2>(tokens, multiply, t);
}

template <class Weights>
void dot_256(const DotRows& args) {
  if (args.tokens < kTileTokens) return few_tokens_as_they_lie<Few256, Arithmetic, Weights>(args);
  many_tokens_256<Scaling, Weights, 1, kMostTokens>(args, [](const Tile& tile, size_t block, size_t blocks, const InputRow* inputs, size_t tokens, auto sums) {
    by_eights(tokens, [&]<size_t T>(size_t t) { tile_256<Weights, T>(tile, block, blocks, inputs + t, sums + t); });
  });
}

template <class Weights>
void dot_32(const DotRows& args) {
  if (args.tokens < kTileTokens) return few_tokens_as_they_lie<Few32, Arithmetic, Weights>(args);
  many_tokens_32<Scaling, Weights, 1, kMostTokens>(args, [](const Tile& tile, size_t block, size_t blocks, const InputRow* inputs, size_t tokens, auto sums) {
    by_eights(tokens, [&]<size_t T>(size_t t) { tile_32<Weights, T>(tile, block, blocks, inputs + t, sums + t); });
  });
}

}  // namespace

void use_avx512_products(Kernels& kernels) {
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
