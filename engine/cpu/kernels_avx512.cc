// Floats for AVX-512: what the AVX2 kernels do, in the same order, sixteen numbers at a time.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cmath>
#include <cstring>

#include "engine/cpu/ahead.h"
#include "engine/cpu/blocks.h"
#include "engine/cpu/kernel_sets.h"

namespace wenqu::engine::cpu {
namespace {

struct LoadF32 {
  static constexpr size_t kBytes = 4;
  static __m512 sixteen(const std::byte* p) { return _mm512_loadu_ps(p); }
  static float one(const std::byte* p) {
    float value;
    std::memcpy(&value, p, sizeof(value));
    return value;
  }
};
struct LoadF16 {
  static constexpr size_t kBytes = 2;
  static __m512 sixteen(const std::byte* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
  static float one(const std::byte* p) {
    uint16_t bits;
    std::memcpy(&bits, p, sizeof(bits));
    return _cvtsh_ss(bits);
  }
};
struct LoadBF16 {
  static constexpr size_t kBytes = 2;
  static __m512 sixteen(const std::byte* p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
  static float one(const std::byte* p) {
    uint16_t bits;
    std::memcpy(&bits, p, sizeof(bits));
    return bfloat_to_float(bits);
  }
};

// Two sums of sixteen are the four sums of eight of AVX2, and are folded in their order: halves, quarters, neighbours.
inline float fold(__m512 s) {
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
  const __m128 h = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  const __m128 p = _mm_hadd_ps(h, h);
  return _mm_cvtss_f32(_mm_hadd_ps(p, p));
}

// Eight such folds side by side: what a dot product of a head's hundred numbers mostly consists of.
inline __m256 fold_eight(const __m512 s[8]) {
  const auto halves = [](__m512 a, __m512 b) { return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE)); };     // eight of each
  const auto quarters = [](__m512 a, __m512 b) { return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD)); };   // four of each of four
  const __m512 first = quarters(halves(s[0], s[1]), halves(s[2], s[3])), second = quarters(halves(s[4], s[5]), halves(s[6], s[7]));
  const __m512 pairs = _mm512_add_ps(_mm512_shuffle_ps(first, second, 0x88), _mm512_shuffle_ps(first, second, 0xDD));   // of 0 and 4, of 1 and 5, ...
  const __m512 sums = _mm512_add_ps(pairs, _mm512_movehdup_ps(pairs));
  return _mm512_castps512_ps256(_mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0), sums));
}

// kFirst: nothing has read the weights before.
template <typename Load, size_t T, bool kFirst>
void dot_floats(const std::byte* row, size_t n, const InputRow* inputs, const Ahead& ahead, float* out) {
  __m512 sum[T][2];
  for (size_t t = 0; t < T; ++t) sum[t][0] = sum[t][1] = _mm512_setzero_ps();
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    if constexpr (kFirst) ask_ahead<32 * Load::kBytes>(row + i * Load::kBytes, ahead);
    for (size_t k = 0; k < 2; ++k) {
      const __m512 w = Load::sixteen(row + (i + k * 16) * Load::kBytes);
      for (size_t t = 0; t < T; ++t) sum[t][k] = _mm512_fmadd_ps(w, _mm512_loadu_ps(inputs[t].values + i + k * 16), sum[t][k]);
    }
  }
  __m512 all[T];
  for (size_t t = 0; t < T; ++t) all[t] = _mm512_add_ps(sum[t][0], sum[t][1]);
  if constexpr (T == 8) _mm256_storeu_ps(out, fold_eight(all));
  else for (size_t t = 0; t < T; ++t) out[t] = fold(all[t]);
  for (size_t t = 0; t < T; ++t) {
    for (size_t k = i; k < n; ++k) out[t] = std::fma(Load::one(row + k * Load::kBytes), inputs[t].values[k], out[t]);
  }
}

// Tokens that share one reading of the weights: with two sums each, what the registers hold.
template <typename Load, size_t T = 8>
void dot_rows(const DotRows& args, size_t t = 0) {
  const Ahead ahead = ahead_in(args.rows * args.row_bytes, true);
  for (; t + T <= args.tokens; t += T)
    for (size_t r = 0; r < args.rows; ++r) {
      float out[T];
      const auto dot = t == 0 ? dot_floats<Load, T, true> : dot_floats<Load, T, false>;
      dot(args.weights + r * args.row_bytes, args.n, args.inputs + t, ahead, out);
      for (size_t k = 0; k < T; ++k) args.outputs[t + k][args.first + r] = out[k];
    }
  if constexpr (T > 1)
    if (t < args.tokens) dot_rows<Load, T / 2>(args, t);
}
// ------------------------------------------------------------------ short rows and many tokens: keys and queries
//
// Tokens lie side by side, sixteen to a vector, and meet one number of a row at a time, so that nothing is folded across a
// vector. The sums are those of dot_floats, in the same order: 32 of them for a row, each of every 32nd product.

constexpr size_t kShortRow = 256, kRowsAtOnce = 16;
constexpr size_t kLeastColumns = 13, kLeastRows = 32;   // from where on laying tokens side by side pays

inline void transpose(__m512 (&r)[16]) {
  __m512 t[16];
  for (size_t i = 0; i < 16; i += 2) t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]), t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  for (size_t i = 0; i < 16; i += 4)
    for (size_t k = 0; k < 2; ++k) {
      const __m512d a = _mm512_castps_pd(t[i + k]), b = _mm512_castps_pd(t[i + k + 2]);
      r[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), r[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
  for (size_t i = 0; i < 16; i += 8)
    for (size_t k = 0; k < 4; ++k) t[i + k] = _mm512_shuffle_f32x4(r[i + k], r[i + k + 4], 0x88), t[i + k + 4] = _mm512_shuffle_f32x4(r[i + k], r[i + k + 4], 0xDD);
  for (size_t i = 0; i < 8; ++i) r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88), r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xDD);
}

// columns[i][t] = inputs[t][i], zeros behind the last token. t: 16 * C.
template <size_t C>
void side_by_side(const InputRow* inputs, size_t tokens, size_t n, float* columns) {
  for (size_t c = 0; c < C; ++c)
    for (size_t i = 0; i < n; i += 16) {
      const size_t count = n - i < 16 ? n - i : 16;
      const auto mask = static_cast<__mmask16>((1u << count) - 1);
      __m512 block[16];
      for (size_t t = 0; t < 16; ++t)
        block[t] = c * 16 + t < tokens ? _mm512_maskz_loadu_ps(mask, inputs[c * 16 + t].values + i) : _mm512_setzero_ps();
      transpose(block);
      for (size_t k = 0; k < count; ++k) _mm512_store_ps(columns + ((i + k) * C + c) * 16, block[k]);
    }
}

// R rows and 16 * C tokens: sums of R * C vectors.
template <size_t R, size_t C>
class ColumnDots {
 public:
  ColumnDots(const float* rows, size_t stride, size_t n, const float* columns) : rows_(rows), stride_(stride), n_(n), columns_(columns) {}

  void store(float* out) const {
    Sums all, second, third;
    quarter(0, all), quarter(1, second), add(second, all);
    quarter(2, second), quarter(3, third), add(third, second), add(second, all);
    for (size_t i = n_ / 32 * 32; i < n_; ++i) multiply(i, all);
    for (size_t r = 0; r < R; ++r)
      for (size_t c = 0; c < C; ++c) _mm512_store_ps(out + (c * kRowsAtOnce + r) * 16, all[r][c]);
  }

 private:
  using Sums = __m512[R][C];

  __attribute__((always_inline)) static inline void add(const Sums& a, Sums& sums) {
    for (size_t r = 0; r < R; ++r)
      for (size_t c = 0; c < C; ++c) sums[r][c] = _mm512_add_ps(sums[r][c], a[r][c]);
  }
  __attribute__((always_inline)) inline void multiply(size_t i, Sums& sums) const {
    __m512 x[C];
    for (size_t c = 0; c < C; ++c) x[c] = _mm512_load_ps(columns_ + (i * C + c) * 16);
    for (size_t r = 0; r < R; ++r) {
      const __m512 w = _mm512_set1_ps(rows_[r * stride_ + i]);
      for (size_t c = 0; c < C; ++c) sums[r][c] = _mm512_fmadd_ps(w, x[c], sums[r][c]);
    }
  }
  // As the halves of a vector are added: of every 32nd product from two places on.
  __attribute__((always_inline)) inline void half(size_t first, Sums& sums) const {
    Sums second;
    for (size_t r = 0; r < R; ++r)
      for (size_t c = 0; c < C; ++c) sums[r][c] = second[r][c] = _mm512_setzero_ps();
    for (size_t i = 0; i + 32 <= n_; i += 32) multiply(i + first, sums), multiply(i + first + 16, second);
    add(second, sums);
  }
  __attribute__((always_inline)) inline void quarter(size_t first, Sums& sums) const {
    Sums second, third;
    half(first, sums), half(first + 8, second), add(second, sums);
    half(first + 4, second), half(first + 12, third), add(third, second), add(second, sums);
  }

  const float* const rows_;
  const size_t stride_, n_;
  const float* const columns_;
};

// Some rows as floats, and from one to the next.
struct FloatRows {
  const float* rows;
  size_t stride;
};
template <typename Load>
FloatRows as_floats(const std::byte* rows, size_t row_bytes, size_t count, size_t n, const Ahead& ahead, float* floats) {
  if (Load::kBytes == sizeof(float) && row_bytes % sizeof(float) == 0) return {reinterpret_cast<const float*>(rows), row_bytes / sizeof(float)};
  for (size_t r = 0; r < count; ++r) {
    const std::byte* const row = rows + r * row_bytes;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
      ask_ahead<32 * Load::kBytes>(row + i * Load::kBytes, ahead);
      for (size_t k = 0; k < 32; k += 16) _mm512_storeu_ps(floats + r * n + i + k, Load::sixteen(row + (i + k) * Load::kBytes));
    }
    for (; i < n; ++i) floats[r * n + i] = Load::one(row + i * Load::kBytes);
  }
  return {floats, n};
}

template <typename Load, size_t C>
void dot_columns(const DotRows& args, size_t t, size_t tokens) {
  constexpr size_t kMany = 4 / C;   // rows: with two sums each, eight that hide an addition's latency, and all that the registers hold
  alignas(64) float columns[kShortRow * C * 16], floats[kRowsAtOnce * kShortRow], results[C * kRowsAtOnce * 16];
  side_by_side<C>(args.inputs + t, tokens, args.n, columns);
  const Ahead ahead = ahead_in(args.rows * args.row_bytes, true);
  for (size_t r = 0; r < args.rows; r += kRowsAtOnce) {
    const size_t count = args.rows - r < kRowsAtOnce ? args.rows - r : kRowsAtOnce;
    const auto [rows, stride] = as_floats<Load>(args.weights + r * args.row_bytes, args.row_bytes, count, args.n, ahead, floats);
    size_t k = 0;
    for (; k + kMany <= count; k += kMany) ColumnDots<kMany, C>(rows + k * stride, stride, args.n, columns).store(results + k * 16);
    for (; k < count; ++k) ColumnDots<1, C>(rows + k * stride, stride, args.n, columns).store(results + k * 16);
    const auto mask = static_cast<__mmask16>((1u << count) - 1);
    for (size_t c = 0; c < C; ++c) {
      __m512 block[16];
      for (size_t i = 0; i < 16; ++i) block[i] = i < count ? _mm512_load_ps(results + (c * kRowsAtOnce + i) * 16) : _mm512_setzero_ps();
      transpose(block);
      for (size_t i = 0; i < 16 && c * 16 + i < tokens; ++i) _mm512_mask_storeu_ps(args.outputs[t + c * 16 + i] + args.first + r, mask, block[i]);
    }
  }
}

template <typename Load>
void dot_all_rows(const DotRows& args) {
  size_t t = 0;
  if (args.n <= kShortRow && args.rows >= kLeastRows)
    while (args.tokens - t >= kLeastColumns) {
      const size_t left = args.tokens - t;
      const size_t tokens = left < 32 ? left : 32;
      (tokens > 16 ? dot_columns<Load, 2> : dot_columns<Load, 1>)(args, t, tokens);
      t += tokens;
    }
  if (t < args.tokens) dot_rows<Load>(args, t);
}

// K sums of rows [begin, end), 32 numbers of each in registers while the rows pass by.
template <typename Load, size_t K>
void sum_some_rows(const SumRows& args, const WeightedSum* sums, size_t begin, size_t end) {
  for (size_t i = 0; i < args.n; i += 32) {
    const size_t rest = args.n - i;
    const __mmask16 first = rest >= 16 ? __mmask16{0xFFFF} : static_cast<__mmask16>((1u << rest) - 1);
    const __mmask16 second = rest >= 32 ? __mmask16{0xFFFF} : rest > 16 ? static_cast<__mmask16>((1u << (rest - 16)) - 1) : __mmask16{0};
    __m512 low[K], high[K];
    for (size_t k = 0; k < K; ++k) {
      low[k] = _mm512_maskz_loadu_ps(first, sums[k].out + i);
      high[k] = _mm512_maskz_loadu_ps(second, sums[k].out + i + 16);
    }
    const std::byte* row = args.rows + begin * args.row_bytes + i * Load::kBytes;
    for (size_t r = begin; r < end; ++r, row += args.row_bytes) {
      __m512 a, b;
      if (rest >= 32) {
        a = Load::sixteen(row), b = Load::sixteen(row + 16 * Load::kBytes);
      } else {
        alignas(64) float values[32] = {};
        for (size_t k = 0; k < rest; ++k) values[k] = Load::one(row + k * Load::kBytes);
        a = _mm512_load_ps(values), b = _mm512_load_ps(values + 16);
      }
      for (size_t k = 0; k < K; ++k) {
        const __m512 weight = _mm512_set1_ps(sums[k].weights[r]);
        low[k] = _mm512_fmadd_ps(weight, a, low[k]);
        high[k] = _mm512_fmadd_ps(weight, b, high[k]);
      }
    }
    for (size_t k = 0; k < K; ++k) {
      _mm512_mask_storeu_ps(sums[k].out + i, first, low[k]);
      _mm512_mask_storeu_ps(sums[k].out + i + 16, second, high[k]);
    }
  }
}

// Groups of K sums, then of fewer; 32 queries go together, so four of eight.
template <typename Load, size_t K = 8>
void sum_groups(const SumRows& args, size_t s = 0) {
  for (; s + K <= args.count; s += K) {
    const WeightedSum* sums = args.sums + s;
    size_t common = sums[0].rows;
    for (size_t k = 1; k < K; ++k) common = sums[k].rows < common ? sums[k].rows : common;
    sum_some_rows<Load, K>(args, sums, 0, common);
    for (size_t k = 0; k < K; ++k)
      if (sums[k].rows > common) sum_some_rows<Load, 1>(args, sums + k, common, sums[k].rows);
  }
  if constexpr (K > 1)
    if (s < args.count) sum_groups<Load, K / 2>(args, s);
}
template <typename Load>
void sum_rows(const SumRows& args) { sum_groups<Load>(args); }

// As in kernels_avx2.cc.
inline __m512 exponential(__m512 x) {
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), tiny = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.3f), _CMP_LT_OQ);
  const __m512 clamped = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-87.3f)), _mm512_set1_ps(88.3f));
  const __m512 k = _mm512_roundscale_ps(_mm512_mul_ps(clamped, _mm512_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fnmadd_ps(k, _mm512_set1_ps(0x1.62E4p-1f), clamped);
  r = _mm512_fnmadd_ps(k, _mm512_set1_ps(0x1.7F7D1Cp-20f), r);
  __m512 q = _mm512_set1_ps(1.0f / 5040);
  for (const float c : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f}) q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(c));
  const __m512 rest = _mm512_fmadd_ps(_mm512_mul_ps(r, r), q, r);
  const __m512 power = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(k), _mm512_set1_epi32(127)), 23));
  const __m512 result = _mm512_maskz_mov_ps(static_cast<__mmask16>(~tiny), _mm512_fmadd_ps(power, rest, power));
  return _mm512_mask_mov_ps(result, nan, x);
}

void silu_multiply(const float* gate, const float* up, float* out, size_t n) {
  const __m512 one = _mm512_set1_ps(1), zero = _mm512_setzero_ps();
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m512 g = _mm512_loadu_ps(gate + i);
    const __m512 silu = _mm512_div_ps(g, _mm512_add_ps(one, exponential(_mm512_sub_ps(zero, g))));
    _mm512_storeu_ps(out + i, _mm512_mul_ps(silu, _mm512_loadu_ps(up + i)));
  }
  for (; i < n; ++i) out[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
}

}  // namespace

void use_avx512_floats(Kernels& kernels) {
  kernels.f32 = dot_all_rows<LoadF32>;
  kernels.f16 = dot_all_rows<LoadF16>;
  kernels.bf16 = dot_all_rows<LoadBF16>;
  kernels.sum_rows_f32 = sum_rows<LoadF32>;
  kernels.sum_rows_f16 = sum_rows<LoadF16>;
  kernels.silu_multiply = silu_multiply;
}

}  // namespace wenqu::engine::cpu

#endif  // __x86_64__
