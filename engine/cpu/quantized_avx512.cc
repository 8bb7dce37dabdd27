// Products of quantized weights with inputs of 8 bits, for AVX-512 with VNNI: four products of bytes are added in one
// instruction. The weights stand above their values, as the instruction wants one side unsigned.
#if defined(__x86_64__)

#include "engine/cpu/kernel_sets.h"
#include "engine/cpu/tile.h"
#include "engine/cpu/vnni.h"
#include "engine/cpu/wide_interleaved.h"

namespace wenqu::engine::cpu {
namespace {

// From so many tokens on, unpacking a tile pays; of types whose rows may lie side by side, and where they do.
constexpr size_t kTileTokens = 6, kTileTokensOfEight = 9, kTileTokensInterleaved = 25;

// A scale fills 32 bits.
struct Scaling {
  static __m256i first(__m256i pairs) { return _mm256_srai_epi32(_mm256_slli_epi32(pairs, 16), 16); }
  static __m256i second(__m256i pairs) { return _mm256_srai_epi32(pairs, 16); }
  template <class Weights> static __m256i bytes(__m256i w) { return Weights::kSigned ? above_zero(w) : w; }
  template <class Weights> static constexpr int offset_bits() { return Weights::kSigned ? 7 : Weights::kOffsetBits; }
};

// A token meets two tiles at once: what is loaded of it serves both, and sixteen sums hide the instructions' latency where it
// meets them with three others.
constexpr size_t kBesides = 2;
constexpr Grouping kGrouping{.tiles = 4, .besides = kBesides, .tokens = 32};
template <size_t T> using WholeNumbers = __m512i[kBesides][T];
template <size_t T> using Floats = __m512[kBesides][T];

// f(tile, token) for all of them, as code.
template <size_t T, typename F>
__attribute__((always_inline)) inline void each_of_tiles(const F& f) {
  each<T>([&](auto t) __attribute__((always_inline)) { each<kBesides>([&](auto r) __attribute__((always_inline)) { f(r, t); }); });
}

// dots += the products of 4 kSteps columns from `step` on.
template <size_t T, size_t kSteps>
__attribute__((always_inline)) inline void add_steps(const Tile* tiles, size_t step, const int8_t* const* x, WholeNumbers<T>& dots) {
  each<kSteps>([&](auto k) __attribute__((always_inline)) {
    const __m512i w[kBesides] = {_mm512_load_si512(tiles[0].w[step + k]), _mm512_load_si512(tiles[1].w[step + k])};
    each<T>([&](auto t) __attribute__((always_inline)) {
      const __m512i four = _mm512_set1_epi32(load32(x[t] + (step + k) * 4));
      each<kBesides>([&](auto r) __attribute__((always_inline)) { dots[r][t] = _mm512_dpbusd_epi32(dots[r][t], w[r], four); });
    });
  });
}

// What the tokens' sums count for in a tile's block of 256: of two sub-blocks' sums at a time, or of four where these share a
// number.
template <class Weights, size_t T>
__attribute__((always_inline)) inline void offsets(const Tile& tile, size_t block, const InputRow* inputs, __m512i (&minus)[T]) {
  constexpr bool kHalved = Weights::kScaleColumns == 32;
  alignas(16) int16_t eight[T][8];
  if constexpr (kHalved)
    each<T>([&](auto t) __attribute__((always_inline)) {
      const int16_t* sums = inputs[t].sum256 + block * 16;
      _mm_store_si128(reinterpret_cast<__m128i*>(eight[t]), sums_of_32(sums));
    });
  each<T>([&](auto t) __attribute__((always_inline)) { minus[t] = _mm512_setzero_si512(); });
  each<kHalved ? 4 : 8>([&](auto i) __attribute__((always_inline)) {
    const __m512i w = _mm512_load_si512(tile.sums[i]);
    each<T>([&](auto t) __attribute__((always_inline)) {
      minus[t] = _mm512_dpwssd_epi32(minus[t], w, _mm512_set1_epi32(load32(kHalved ? eight[t] + i * 2 : inputs[t].sum256 + block * 16 + i * 2)));
    });
  });
}

template <class Weights, size_t T, size_t kStride>
void tiles_256(const Tile* tiles, size_t block, size_t, const InputRow* inputs, Sums<kStride> sums) {
  constexpr bool kOffset = Weights::kSigned || Weights::kOffset > 0;
  constexpr size_t kSteps = Weights::kScaleColumns / 4;
  const int8_t* x[T];
  for (size_t t = 0; t < T; ++t) x[t] = inputs[t].q256 + block * 256;
  WholeNumbers<T> products;
  each_of_tiles<T>([&](auto r, auto t) __attribute__((always_inline)) { products[r][t] = _mm512_setzero_si512(); });
  for (size_t step = 0; step < kTileColumns / 4; step += kSteps) {
    WholeNumbers<T> dots;
    each_of_tiles<T>([&](auto r, auto t) __attribute__((always_inline)) { dots[r][t] = _mm512_setzero_si512(); });
    add_steps<T, kSteps>(tiles, step, x, dots);
    const __m512i scale[kBesides] = {_mm512_load_si512(tiles[0].scales[step / 4]), _mm512_load_si512(tiles[1].scales[step / 4])};
    each_of_tiles<T>([&](auto r, auto t) __attribute__((always_inline)) { products[r][t] = _mm512_add_epi32(products[r][t], _mm512_mullo_epi32(dots[r][t], scale[r])); });
  }
  each<kBesides>([&](auto r) __attribute__((always_inline)) {
    __m512i minus[T];
    if constexpr (Weights::kMinima || kOffset) offsets<Weights, T>(tiles[r], block, inputs, minus);
    const __m512 d = _mm512_load_ps(tiles[r].d[0]);
    each<T>([&](auto t) __attribute__((always_inline)) {
      float* const out = sums[t] + r * kTileRows;
      if constexpr (kOffset) products[r][t] = _mm512_sub_epi32(products[r][t], minus[t]);
      const __m512 p = _mm512_cvtepi32_ps(products[r][t]), scale = _mm512_set1_ps(inputs[t].scale256[block]), sum = _mm512_load_ps(out);
      if constexpr (Weights::kMinima)
        _mm512_store_ps(out, _mm512_fmadd_ps(scale, _mm512_fmsub_ps(d, p, _mm512_mul_ps(_mm512_load_ps(tiles[r].m[0]), _mm512_cvtepi32_ps(minus[t]))), sum));
      else
        _mm512_store_ps(out, _mm512_fmadd_ps(d, _mm512_mul_ps(scale, p), sum));
    });
  });
}

template <class Weights, size_t T, size_t kStride>
void tiles_32(const Tile* tiles, size_t block, size_t blocks, const InputRow* inputs, Sums<kStride> sums) {
  constexpr int kOffset = Weights::kSigned ? 128 : Weights::kOffset;
  const int8_t* x[T];
  int32_t offsets[T][kTileColumns / 32];   // vectors are filled from memory sooner than from a register
  Floats<T> sum;
  each<T>([&](auto t) __attribute__((always_inline)) {
    x[t] = inputs[t].q32 + block * 32;
    if constexpr (kOffset > 0)
      for (size_t b = 0; b < blocks; ++b) offsets[t][b] = -kOffset * inputs[t].sum32[block + b];
  });
  each_of_tiles<T>([&](auto r, auto t) __attribute__((always_inline)) { sum[r][t] = _mm512_load_ps(sums[t] + r * kTileRows); });
  for (size_t b = 0; b < blocks; ++b) {
    WholeNumbers<T> dots;
    each_of_tiles<T>([&](auto r, auto t) __attribute__((always_inline)) { dots[r][t] = kOffset > 0 ? _mm512_set1_epi32(offsets[t][b]) : _mm512_setzero_si512(); });
    add_steps<T, 8>(tiles, b * 8, x, dots);
    each_of_tiles<T>([&](auto r, auto t) __attribute__((always_inline)) {
      sum[r][t] = with_block_32<Weights>(sum[r][t], inputs[t].scale32[block + b], _mm512_load_ps(tiles[r].d[b]), _mm512_cvtepi32_ps(dots[r][t]), tiles[r].m[b], inputs[t].sum32[block + b]);
    });
  }
  each_of_tiles<T>([&](auto r, auto t) __attribute__((always_inline)) { _mm512_store_ps(sums[t] + r * kTileRows, sum[r][t]); });
}

// multiply<T>(first token) for groups of four tokens, then of fewer.
template <size_t T = 4, typename Multiply>
void by_fours(size_t tokens, const Multiply& multiply, size_t t = 0) {
  for (; t + T <= tokens; t += T) multiply.template operator()<T>(t);
  if constexpr (T > 1)
    if (t < tokens) by_fours<T / 2>(tokens, multiply, t);
}

template <class Weights>
bool are_few(const DotRows& args) { return args.tokens < (args.interleaved ? kTileTokensInterleaved : kHasCut<Weights> ? kTileTokensOfEight : kTileTokens); }

template <class Few, class Weights>
void few_of_type(const DotRows& args) {
  if constexpr (!kHasCut<Weights>) few_tokens<Few, Arithmetic, Weights>(args);
  else if (args.interleaved) few_tokens<Wide<Weights, false>, Arithmetic, Weights>(args);
  else few_tokens<Wide<Weights, true>, Arithmetic, Weights>(args);
}

template <class Weights>
void dot_256(const DotRows& args) {
  if (are_few<Weights>(args)) return few_of_type<Few256, Weights>(args);
  many_tokens<Scaling, Weights, kGrouping>(args, [](const Tile* tiles, size_t block, size_t blocks, const InputRow* inputs, size_t tokens, auto sums) {
    by_fours(tokens, [&]<size_t T>(size_t t) { tiles_256<Weights, T>(tiles, block, blocks, inputs + t, sums + t); });
  });
}

template <class Weights>
void dot_32(const DotRows& args) {
  if (are_few<Weights>(args)) return few_of_type<Few32, Weights>(args);
  many_tokens<Scaling, Weights, kGrouping>(args, [](const Tile* tiles, size_t block, size_t blocks, const InputRow* inputs, size_t tokens, auto sums) {
    by_fours(tokens, [&]<size_t T>(size_t t) { tiles_32<Weights, T>(tiles, block, blocks, inputs + t, sums + t); });
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
