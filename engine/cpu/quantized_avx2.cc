// Products of quantized weights with inputs of 8 bits, for AVX2. The products of a block are summed as whole numbers,
// which no order of additions changes; what is rounded, is rounded in one order everywhere (kernels.h).
#if defined(__x86_64__)

#include "engine/cpu/few_interleaved.h"
#include "engine/cpu/few_tokens.h"
#include "engine/cpu/kernel_sets.h"
#include "engine/cpu/pair_products.h"
#include "engine/cpu/tile.h"

namespace wenqu::engine::cpu {
namespace {

// From so many tokens on, unpacking a tile pays; and where rows lie side by side.
constexpr size_t kTileTokens = 6, kTileTokensInterleaved = 13;
constexpr Grouping kGrouping{.tiles = 4, .besides = 1, .tokens = 24}, kGroupingInPairs{.tiles = 8, .besides = 1, .tokens = 16};

struct Arithmetic {
  template <class Weights, size_t T>
  static void scaled_products(const Weights& weights, const int8_t* const* x, __m256i* sums) { cpu::scaled_products<Arithmetic, Weights, T>(weights, x, sums); }
  static constexpr int kSignedOffset = 0;
  static __m256i add_products(__m256i sums, __m256i pairs, __m256i scales) { return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, scales)); }
  template <class Weights>
  static __m256i dot(__m256i w, __m256i x) { return _mm256_madd_epi16(pairs<Weights>(w, x), _mm256_set1_epi16(1)); }
  template <class Weights>
  static __m256i four_dots(const __m256i w[4], __m256i x0, __m256i x1, __m256i x2, __m256i x3) {
    if constexpr (Weights::kSteps >= 4) {
      const __m256i first = _mm256_add_epi16(pairs<Weights>(w[0], x0), pairs<Weights>(w[1], x1)), second = _mm256_add_epi16(pairs<Weights>(w[2], x2), pairs<Weights>(w[3], x3));
      return _mm256_madd_epi16(_mm256_add_epi16(first, second), _mm256_set1_epi16(1));
    }
    return _mm256_add_epi32(_mm256_add_epi32(dot<Weights>(w[0], x0), dot<Weights>(w[1], x1)), _mm256_add_epi32(dot<Weights>(w[2], x2), dot<Weights>(w[3], x3)));
  }
};

// A scale stands twice.
struct Scaling {
  static __m256i first(__m256i pairs) { return _mm256_blend_epi16(pairs, _mm256_slli_epi32(pairs, 16), 0xAA); }
  static __m256i second(__m256i pairs) { return _mm256_blend_epi16(pairs, _mm256_srli_epi32(pairs, 16), 0x55); }
  template <class Weights> static __m256i bytes(__m256i w) { return w; }
  template <class Weights> static constexpr int offset_bits() { return Weights::kOffsetBits; }
};

// The pairs' products of one token with both halves of the rows, at a step of four columns.
__attribute__((always_inline)) inline void multiply_step(const Tile& tile, size_t step, const int8_t* x, __m256i (&products)[2]) {
  const __m256i v = broadcast32(x + step * 4);
  each<2>([&](auto half) __attribute__((always_inline)) { products[half] = _mm256_maddubs_epi16(load(tile.w[step][half * 8]), v); });
}

// products[t][half] += scale * the dots of 4 kSteps columns from `step` on, of sixteen rows and T tokens. The compiler
// would put additions off until it has no register left, so it's told in which order they come.
template <class Weights, size_t T>
__attribute__((always_inline)) inline void add_steps(const Tile& tile, size_t step, const int8_t* const* x, const int16_t (*scales)[2], __m256i (*products)[2]) {
  const auto add_scaled = [&](__m256i (&sums)[2], __m256i (&to)[2]) __attribute__((always_inline)) {
    each<2>([&](auto half) __attribute__((always_inline)) { to[half] = _mm256_add_epi32(to[half], _mm256_madd_epi16(sums[half], load(scales[half * 8]))); });
  };
  const auto add = [](__m256i (&to)[2], const __m256i (&p)[2]) __attribute__((always_inline)) {
    each<2>([&](auto half) __attribute__((always_inline)) { to[half] = _mm256_add_epi16(to[half], p[half]); });
  };
  constexpr size_t kSteps = Weights::kSteps;
  static_assert(kSteps > 1 && !Weights::kSigned);
  if constexpr (kSteps == 2) {   // 32 bits soon: these sums stay in registers
    each<T>([&](auto t) __attribute__((always_inline)) {
      __m256i sums[2], p[2];
      multiply_step(tile, step, x[t], sums);
      multiply_step(tile, step + 1, x[t], p), add(sums, p);
      add_scaled(sums, products[t]);
      __asm__("" : "+x"(products[t][0]), "+x"(products[t][1]));
    });
  } else {                       // 16 bits for long: those sums stay in registers
    __m256i sums[T][2];
    each<kSteps>([&](auto k) __attribute__((always_inline)) {
      each<T>([&](auto t) __attribute__((always_inline)) {
        __m256i p[2];
        multiply_step(tile, step + k, x[t], p);
        if constexpr (k == 0) sums[t][0] = p[0], sums[t][1] = p[1];
        else add(sums[t], p);
        __asm__("" : "+x"(sums[t][0]), "+x"(sums[t][1]));
      });
    });
    each<T>([&](auto t) __attribute__((always_inline)) { add_scaled(sums[t], products[t]); });
  }
}

// What a token's sums count for in a block: of two sub-blocks' sums at a time, or of four where these share a scale.
template <class Weights, size_t T>
__attribute__((always_inline)) inline void offsets(const Tile& tile, size_t block, const InputRow* inputs, __m256i (*minus)[2]) {
  constexpr bool kHalved = Weights::kScaleColumns == 32;
  alignas(16) int16_t eight[T][8];
  if constexpr (kHalved)
    each<T>([&](auto t) __attribute__((always_inline)) {
      const int16_t* sums = inputs[t].sum256 + block * 16;
      _mm_store_si128(reinterpret_cast<__m128i*>(eight[t]), sums_of_32(sums));
    });
  each<kHalved ? 4 : 8>([&](auto i) __attribute__((always_inline)) {
    const __m256i w0 = load(tile.sums[i]), w1 = load(tile.sums[i][8]);
    each<T>([&](auto t) __attribute__((always_inline)) {
      const __m256i two = broadcast32(kHalved ? eight[t] + i * 2 : inputs[t].sum256 + block * 16 + i * 2);
      const __m256i p0 = _mm256_madd_epi16(w0, two), p1 = _mm256_madd_epi16(w1, two);
      minus[t][0] = i == 0 ? p0 : _mm256_add_epi32(minus[t][0], p0);
      minus[t][1] = i == 0 ? p1 : _mm256_add_epi32(minus[t][1], p1);
    });
  });
}

template <class Weights, size_t T, size_t kStride>
void tile_256(const Tile& tile, size_t block, size_t, const InputRow* inputs, Sums<kStride> sums) {
  const int8_t* x[T];
  __m256i products[T][2], minus[T][2];
  each<T>([&](auto t) __attribute__((always_inline)) {
    x[t] = inputs[t].q256 + block * 256;
    products[t][0] = products[t][1] = _mm256_setzero_si256();
  });
  for (size_t first = 0; first < kTileColumns / 4; first += 8)
    each<8 / Weights::kSteps>([&](auto i) __attribute__((always_inline)) {
      const size_t step = first + i * Weights::kSteps;
      add_steps<Weights, T>(tile, step, x, tile.scales[step / 4], products);
    });
  if constexpr (Weights::kMinima || Weights::kOffset > 0) offsets<Weights, T>(tile, block, inputs, minus);
  each<T>([&](auto t) __attribute__((always_inline)) {
    const float scale = inputs[t].scale256[block];
    each<2>([&](auto half) __attribute__((always_inline)) {
      const __m256 d = _mm256_load_ps(tile.d[0] + half * 8), sum = _mm256_load_ps(sums[t] + half * 8);
      __m256 result;
      if constexpr (Weights::kMinima)
        result = add_block(sum, scale, d, products[t][half], negated_product(_mm256_load_ps(tile.m[0] + half * 8), minus[t][half]));
      else if constexpr (Weights::kOffset > 0)
        result = add_block(sum, scale, d, _mm256_sub_epi32(products[t][half], minus[t][half]));
      else
        result = add_block(sum, scale, d, products[t][half]);
      _mm256_store_ps(sums[t] + half * 8, result);
    });
  });
}

template <class Weights, size_t T, size_t kStride>
void tile_32(const Tile& tile, size_t block, size_t blocks, const InputRow* inputs, Sums<kStride> sums) {
  const int8_t* x[T];
  for (size_t t = 0; t < T; ++t) x[t] = inputs[t].q32 + block * 32;
  [[maybe_unused]] alignas(32) static constexpr int16_t ones[kTileRows][2] = {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1},
                                                             {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}};
  for (size_t b = 0; b < blocks; ++b) {
    __m256i products[T][2];
    for (size_t t = 0; t < T; ++t) products[t][0] = products[t][1] = _mm256_set1_epi32(-Weights::kOffset * inputs[t].sum32[block + b]);
    each<8 / Weights::kSteps>([&](auto i) __attribute__((always_inline)) { add_steps<Weights, T>(tile, b * 8 + i * Weights::kSteps, x, ones, products); });
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
constexpr size_t kTogether = 4;

bool are_few(const DotRows& args) { return args.tokens < (args.interleaved ? kTileTokensInterleaved : kTileTokens); }

template <class Weights>
void many_tokens_of(const DotRows& args) {
  if constexpr (Weights::kSigned) {
    many_tokens_in_pairs<Scaling, Weights, kGroupingInPairs>(args, [](const WideTile& tile, size_t blocks, const WideInput* inputs, size_t tokens, auto sums) {
      by_groups<kTogether>(tokens, [&]<size_t T>(size_t t) { wide_tile<Weights, T>(tile, blocks, inputs + t, sums + t); });
    });
  } else {
    many_tokens<Scaling, Weights, kGrouping>(args, [](const Tile* tile, size_t block, size_t blocks, const InputRow* inputs, size_t tokens, auto sums) {
      by_groups<kTogether>(tokens, [&]<size_t T>(size_t t) {
        if constexpr (kOfBlocks256<Weights>) tile_256<Weights, T>(*tile, block, blocks, inputs + t, sums + t);
        else tile_32<Weights, T>(*tile, block, blocks, inputs + t, sums + t);
      });
    });
  }
}

template <class Weights>
void dot_256(const DotRows& args) {
  if (are_few(args)) few_tokens_as_they_lie<Few256, Arithmetic, Weights>(args);
  else many_tokens_of<Weights>(args);
}

template <class Weights>
void dot_32(const DotRows& args) {
  if (are_few(args)) few_tokens_as_they_lie<Few32, Arithmetic, Weights>(args);
  else many_tokens_of<Weights>(args);
}

}  // namespace

void use_avx2_products(Kernels& kernels) {
  kernels.gain_by_interleaving = true;
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
