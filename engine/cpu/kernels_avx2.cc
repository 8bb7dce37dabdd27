// Floats, rounding and vectors for AVX2, FMA and F16C.
#if defined(__x86_64__)

#include <cmath>

#include "engine/cpu/ahead.h"
#include "engine/cpu/avx2.h"
#include "engine/cpu/kernel_sets.h"

namespace wenqu::engine::cpu {
namespace {

// Tokens that share one reading of the weights: with four sums each, what the registers hold.
constexpr size_t kFloatTokens = 3;

inline float horizontal_sum(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

inline float half(const void* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return _cvtsh_ss(bits);
}

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

// Sums of eight, folded in llama.cpp's order, so that its figures can be met to the last bit: halves, neighbours, neighbours.
inline float fold(__m256 s) {
  const __m128 h = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  const __m128 p = _mm_hadd_ps(h, h);
  return _mm_cvtss_f32(_mm_hadd_ps(p, p));
}

// Eight such folds side by side: a good part of what a dot product of a head's hundred numbers costs.
inline __m256 fold_eight(const __m256 (&s)[8]) {
  const auto halves = [](__m256 a, __m256 b) { return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31)); };
  const auto neighbours = [](__m256 a, __m256 b) { return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xDD)); };
  return neighbours(neighbours(halves(s[0], s[4]), halves(s[1], s[5])), neighbours(halves(s[2], s[6]), halves(s[3], s[7])));
}

// The sums of a row's products with T tokens, but for those behind the last 32. kFirst: nothing has read the weights before.
template <typename Load, size_t T, bool kFirst>
__attribute__((always_inline)) inline void dot_floats(const std::byte* row, size_t n, const InputRow* inputs, const Ahead& ahead, __m256 (&sums)[T]) {
  __m256 sum[T][4];
  for (size_t t = 0; t < T; ++t)
    for (int k = 0; k < 4; ++k) sum[t][k] = _mm256_setzero_ps();
  for (size_t i = 0; i + 32 <= n; i += 32) {
    if constexpr (kFirst) ask_ahead<32 * Load::kBytes>(row + i * Load::kBytes, ahead);
    for (size_t k = 0; k < 4; ++k) {
      const __m256 w = Load::eight(row + (i + k * 8) * Load::kBytes);
      for (size_t t = 0; t < T; ++t) sum[t][k] = _mm256_fmadd_ps(w, _mm256_loadu_ps(inputs[t].values + i + k * 8), sum[t][k]);
    }
  }
  for (size_t t = 0; t < T; ++t) sums[t] = _mm256_add_ps(_mm256_add_ps(sum[t][0], sum[t][2]), _mm256_add_ps(sum[t][1], sum[t][3]));
}

// Of rows, eight at a time.
template <typename Load, size_t T, bool kFirst>
void dot_rows_of(const DotRows& args, size_t t, const Ahead& ahead) {
  const InputRow* const inputs = args.inputs + t;
  size_t r = 0;
  for (; r + 8 <= args.rows; r += 8) {
    __m256 sums[T][8];
    for (size_t k = 0; k < 8; ++k) {
      __m256 of_row[T];
      dot_floats<Load, T, kFirst>(args.weights + (r + k) * args.row_bytes, args.n, inputs, ahead, of_row);
      for (size_t i = 0; i < T; ++i) sums[i][k] = of_row[i];
    }
    for (size_t i = 0; i < T; ++i) _mm256_storeu_ps(args.outputs[t + i] + args.first + r, fold_eight(sums[i]));
  }
  for (; r < args.rows; ++r) {
    __m256 of_row[T];
    dot_floats<Load, T, kFirst>(args.weights + r * args.row_bytes, args.n, inputs, ahead, of_row);
    for (size_t i = 0; i < T; ++i) args.outputs[t + i][args.first + r] = fold(of_row[i]);
  }
  if (args.n % 32 == 0) return;
  for (r = 0; r < args.rows; ++r)
    for (size_t i = 0; i < T; ++i)
      for (size_t k = args.n / 32 * 32; k < args.n; ++k) {
        float& out = args.outputs[t + i][args.first + r];
        out = std::fma(Load::one(args.weights + r * args.row_bytes + k * Load::kBytes), inputs[i].values[k], out);
      }
}

// Groups of T tokens over all rows, then smaller ones; a group's inputs stay in the cache while the rows pass by.
template <typename Load, size_t T = kFloatTokens>
void dot_rows(const DotRows& args, size_t t = 0) {
  const Ahead ahead = ahead_in(args.rows * args.row_bytes, true);
  for (; t + T <= args.tokens; t += T) t == 0 ? dot_rows_of<Load, T, true>(args, t, ahead) : dot_rows_of<Load, T, false>(args, t, ahead);
  if constexpr (T > 1)
    if (t < args.tokens) dot_rows<Load, (T + 1) / 2>(args, t);
}

template <typename Load>
void dot_all_rows(const DotRows& args) {
  constexpr size_t kManyTokens = 3 * kFloatTokens, kShortRow = 1024, kTile = 32, kRows = 8;
  if (args.tokens <= kFloatTokens || args.n > kShortRow) return dot_rows<Load>(args);
  // Short rows that some tokens meet (keys) stay in the cache while these pass by,
  DotRows some = args;
  if (Load::kBytes == sizeof(float) || args.tokens < kManyTokens) {
    for (size_t r = 0; r < args.rows; r += kTile) {
      some.weights = args.weights + r * args.row_bytes, some.rows = args.rows - r < kTile ? args.rows - r : kTile, some.first = args.first + r;
      dot_rows<Load>(some);
    }
    return;
  }
  // and are made floats once for many.
  alignas(32) float rows[kRows * kShortRow];
  some.weights = reinterpret_cast<const std::byte*>(rows), some.row_bytes = args.n * sizeof(float);
  for (size_t r = 0; r < args.rows; r += kRows) {
    some.rows = args.rows - r < kRows ? args.rows - r : kRows, some.first = args.first + r;
    for (size_t k = 0; k < some.rows; ++k) {
      const std::byte* const row = args.weights + (r + k) * args.row_bytes;
      size_t i = 0;
      for (; i + 8 <= args.n; i += 8) _mm256_storeu_ps(rows + k * args.n + i, Load::eight(row + i * Load::kBytes));
      for (; i < args.n; ++i) rows[k * args.n + i] = Load::one(row + i * Load::kBytes);
    }
    dot_rows<LoadF32>(some);
  }
}

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

inline int32_t total(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1));
  return _mm_cvtsi128_si32(s);
}

// Rounds 32 values times a factor to bytes; the sums of their two halves.
struct HalfSums {
  int32_t first, second;
};
inline HalfSums round_block(const float* x, __m256 factor, int8_t* q) {
  __m256i w[4];
  for (int i = 0; i < 4; ++i) w[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i * 8), factor));
  const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(w[0], w[1]), _mm256_packs_epi32(w[2], w[3]));
  // The packs work within 128-bit halves; this puts the groups of four back in order.
  const __m256i ordered = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), ordered);
  return {total(_mm256_add_epi32(w[0], w[1])), total(_mm256_add_epi32(w[2], w[3]))};
}

void round32(const float* values, size_t n, int8_t* q, float* scale, int16_t* sum) {
  for (size_t b = 0; b < n / 32; ++b) {
    const float largest = largest_magnitude(values + b * 32, 32);
    scale[b] = round_to_half_precision(largest / 127);
    sum[b] = 0;
    if (largest > 0) {
      const HalfSums sums = round_block(values + b * 32, _mm256_set1_ps(127 / largest), q + b * 32);
      sum[b] = static_cast<int16_t>(sums.first + sums.second);
    } else {
      std::memset(q + b * 32, 0, 32);
    }
  }
}

void round256(const float* values, size_t n, int8_t* q, float* scale, int16_t* sum) {
  for (size_t b = 0; b < n / 256; ++b) {
    const float* x = values + b * 256;
    float largest = largest_magnitude(x, 256);
    if (!(largest > 0)) {
      scale[b] = largest;
      std::memset(q + b * 256, 0, 256);
      std::memset(sum + b * 16, 0, 16 * sizeof(int16_t));
      continue;
    }
    // The sign of the first value of that magnitude.
    for (size_t i = 0; i < 256; i += 8) {
      const __m256 v = _mm256_loadu_ps(x + i), magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
      const unsigned found = static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(magnitude, _mm256_set1_ps(largest), _CMP_EQ_OQ)));
      if (found == 0) continue;
      largest = x[i + static_cast<size_t>(__builtin_ctz(found))];
      break;
    }
    const float inverse = -127 / largest;
    scale[b] = 1 / inverse;
    for (size_t i = 0; i < 8; ++i) {
      const HalfSums sums = round_block(x + i * 32, _mm256_set1_ps(inverse), q + b * 256 + i * 32);
      sum[b * 16 + i] = static_cast<int16_t>(sums.first);
      sum[b * 16 + 8 + i] = static_cast<int16_t>(sums.second);
    }
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

// The next K sums, as far as they take the same rows together.
template <typename Load, size_t K>
void sum_group(const SumRows& args, const WeightedSum* sums) {
  size_t common = sums[0].rows;
  for (size_t k = 1; k < K; ++k) common = sums[k].rows < common ? sums[k].rows : common;
  sum_some_rows<Load, K>(args, sums, 0, common);
  if constexpr (K > 1)
    for (size_t k = 0; k < K; ++k)
      if (sums[k].rows > common) sum_some_rows<Load, 1>(args, sums + k, common, sums[k].rows);
}

// By six, which is what the registers hold, or four, as many as hide an addition's latency; 32 queries are four times six and twice four.
template <typename Load>
void sum_rows(const SumRows& args) {
  size_t s = 0;
  for (size_t left; (left = args.count - s) > 0;) {
    if (left >= 6 && left != 8) sum_group<Load, 6>(args, args.sums + s), s += 6;
    else if (left >= 4) sum_group<Load, 4>(args, args.sums + s), s += 4;
    else sum_group<Load, 1>(args, args.sums + s), s += 1;
  }
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

// Fewer than eight values with others behind them, and back.
__m256 load_rest(const float* values, size_t n, float others) {
  alignas(32) float rest[8];
  _mm256_store_ps(rest, _mm256_set1_ps(others));
  std::memcpy(rest, values, n * sizeof(float));
  return _mm256_load_ps(rest);
}
void store_rest(float* values, size_t n, __m256 v) {
  alignas(32) float rest[8];
  _mm256_store_ps(rest, v);
  std::memcpy(values, rest, n * sizeof(float));
}

float scale_maximum(float* values, size_t n, float scale) {
  const __m256 factor = _mm256_set1_ps(scale);
  __m256 top[4];
  for (__m256& t : top) t = _mm256_set1_ps(-INFINITY);
  // vmaxps gives its second operand where one is not a number.
  const auto take = [&](__m256& t, __m256 scaled) { return t = _mm256_max_ps(scaled, t), scaled; };
  size_t i = 0;
  for (; i + 32 <= n; i += 32)
    for (size_t k = 0; k < 4; ++k) _mm256_storeu_ps(values + i + k * 8, take(top[k], _mm256_mul_ps(_mm256_loadu_ps(values + i + k * 8), factor)));
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(values + i, take(top[0], _mm256_mul_ps(_mm256_loadu_ps(values + i), factor)));
  for (; i < n; ++i) values[i] *= scale, top[1] = _mm256_max_ps(_mm256_set1_ps(values[i]), top[1]);
  const __m256 eight = _mm256_max_ps(_mm256_max_ps(top[0], top[1]), _mm256_max_ps(top[2], top[3]));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
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
  if (i < n) {
    const __m256 e = exponential(_mm256_sub_ps(load_rest(values + i, n - i, -INFINITY), top));
    store_rest(values + i, n - i, e);
    sum = _mm256_add_ps(sum, e);
  }
  return horizontal_sum(sum);
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
  static const Kernels table = [] {
    Kernels kernels = {
        .name = "avx2",
        .f32 = dot_all_rows<LoadF32>,
        .f16 = dot_all_rows<LoadF16>,
        .bf16 = dot_all_rows<LoadBF16>,
        .round32 = round32,
        .round256 = round256,
        .sum_rows_f32 = sum_rows<LoadF32>,
        .sum_rows_f16 = sum_rows<LoadF16>,
        .scale_maximum = scale_maximum,
        .exp_sum = exp_sum,
        .silu_multiply = silu_multiply,
    };
    use_avx2_products(kernels);
    return kernels;
  }();
  return table;
}

}  // namespace wenqu::engine::cpu

#endif  // __x86_64__
