// The reference: each kernel as its definition reads.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "engine/cpu/interleaved.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/unpack.h"

namespace wenqu::engine::cpu {
namespace {

template <float (*kDot)(const std::byte* row, size_t n, const InputRow& input), gguf::Type kType = gguf::Type::f32>
void dot_rows(const DotRows& args) {
  constexpr Cut kCut = cut_of(kType);
  if constexpr (kCut.words > 0) if (args.interleaved) {   // eight rows are taken apart
    std::vector<std::byte> plain(kInterleavedRows * args.row_bytes);
    DotRows eight = args;
    eight.weights = plain.data(), eight.interleaved = false, eight.rows = kInterleavedRows;
    for (size_t r = 0; r < args.rows; r += kInterleavedRows) {
      for (size_t at = 0; at < args.row_bytes; at += kCut.bytes())
        separate_blocks(kCut, args.weights + r * args.row_bytes + at * kInterleavedRows, plain.data() + at, args.row_bytes);
      eight.first = args.first + r;
      dot_rows<kDot, kType>(eight);
    }
    return;
  }
  for (size_t t = 0; t < args.tokens; ++t)
    for (size_t r = 0; r < args.rows; ++r)
      args.outputs[t][args.first + r] = kDot(args.weights + r * args.row_bytes, args.n, args.inputs[t]);
}

template <typename T, float (*kValue)(T)>
float dot_plain(const std::byte* row, size_t n, const InputRow& input) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) {
    T bits;
    std::memcpy(&bits, row + i * sizeof(T), sizeof(T));
    sum += kValue(bits) * input.values[i];
  }
  return sum;
}

float same(float value) { return value; }

// What a block adds to a result (kernels.h).
template <bool kAddend>
float add_block(float sum, float scale, float d, int32_t products, float addend) {
  const float p = static_cast<float>(products);
  return kAddend ? std::fma(scale, std::fma(d, p, addend), sum) : std::fma(d, scale * p, sum);
}

template <typename Block>
constexpr bool kHasMinimum = std::is_same_v<Block, BlockQ4_1> || std::is_same_v<Block, BlockQ5_1> || std::is_same_v<Block, BlockQ2K> ||
                             std::is_same_v<Block, BlockQ4K> || std::is_same_v<Block, BlockQ5K>;

template <typename Block>
float dot32(const std::byte* row, size_t n, const InputRow& input) {
  float sum = 0;
  for (size_t b = 0; b < n / 32; ++b) {
    Block block;
    std::memcpy(&block, row + b * sizeof(block), sizeof(block));
    Unpacked32 weights;
    unpack(block, weights);
    int32_t products = 0;
    for (size_t i = 0; i < 32; ++i) products += weights.w[i] * input.q32[b * 32 + i];
    sum = add_block<kHasMinimum<Block>>(sum, input.scale32[b], weights.d, products, weights.m * static_cast<float>(input.sum32[b]));
  }
  return sum;
}

template <typename Block>
float dot256(const std::byte* row, size_t n, const InputRow& input) {
  float sum = 0;
  for (size_t b = 0; b < n / 256; ++b) {
    Block block;
    std::memcpy(&block, row + b * sizeof(block), sizeof(block));
    Unpacked256 weights;
    unpack(block, weights);
    int32_t products = 0, minus = 0;
    for (size_t sub = 0; sub < 16; ++sub) {
      const int8_t* x = input.q256 + b * 256 + sub * 16;
      int32_t part = 0, total = 0;
      for (size_t i = 0; i < 16; ++i) part += weights.w[sub * 16 + i] * x[i], total += x[i];
      products += weights.scales[sub] * part;
      minus += weights.minima[sub] * total;
    }
    sum = add_block<kHasMinimum<Block>>(sum, input.scale256[b], weights.d, products, -(weights.dmin * static_cast<float>(minus)));
  }
  return sum;
}

// The value of the largest magnitude, the first of several; NaN when any value is not finite.
float largest_of(const float* x, size_t n) {
  float largest = 0;
  for (size_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) return NAN;
    if (std::fabs(x[i]) > std::fabs(largest)) largest = x[i];
  }
  return largest;
}

void round32(const float* values, size_t n, int8_t* q, float* scale, int16_t* sum) {
  for (size_t b = 0; b < n / 32; ++b) {
    const float* x = values + b * 32;
    const float largest = std::fabs(largest_of(x, 32));
    const bool usable = largest > 0;   // neither 0 nor NaN
    scale[b] = round_to_half_precision(largest / 127);
    const float inverse = usable ? 127 / largest : 0;
    int32_t total = 0;
    for (size_t i = 0; i < 32; ++i) total += q[b * 32 + i] = usable ? static_cast<int8_t>(std::nearbyint(x[i] * inverse)) : 0;
    sum[b] = static_cast<int16_t>(total);
  }
}

void round256(const float* values, size_t n, int8_t* q, float* scale, int16_t* sum) {
  for (size_t b = 0; b < n / 256; ++b) {
    const float* x = values + b * 256;
    const float largest = largest_of(x, 256);
    const bool usable = largest > 0 || largest < 0;
    const float inverse = usable ? -127 / largest : 0;   // the largest becomes -127
    scale[b] = usable ? 1 / inverse : largest;
    for (size_t sub = 0; sub < 16; ++sub) {
      int32_t total = 0;
      for (size_t i = 0; i < 16; ++i) {
        int8_t& rounded = q[b * 256 + sub * 16 + i];
        rounded = usable ? static_cast<int8_t>(std::min(127.0f, std::nearbyint(x[sub * 16 + i] * inverse))) : 0;
        total += rounded;
      }
      sum[b * 16 + sub / 2 + sub % 2 * 8] = static_cast<int16_t>(total);
    }
  }
}

template <typename T, float (*kValue)(T)>
void sum_rows(const SumRows& args) {
  for (size_t s = 0; s < args.count; ++s) {
    const WeightedSum& sum = args.sums[s];
    for (size_t r = 0; r < sum.rows; ++r)
      for (size_t i = 0; i < args.n; ++i) {
        T bits;
        std::memcpy(&bits, args.rows + r * args.row_bytes + i * sizeof(T), sizeof(T));
        sum.out[i] += sum.weights[r] * kValue(bits);
      }
  }
}

float scale_maximum(float* values, size_t n, float scale) {
  float top = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < n; ++i) top = std::max(top, values[i] *= scale);
  return top;
}

float exp_sum(float* values, size_t n, float maximum) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += values[i] = std::exp(values[i] - maximum);
  return sum;
}

void silu_multiply(const float* gate, const float* up, float* out, size_t n) {
  for (size_t i = 0; i < n; ++i) out[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
}

}  // namespace

const Kernels& scalar_kernels() {
  static const Kernels table = {
      .name = "scalar",
      .f32 = dot_rows<dot_plain<float, same>>,
      .f16 = dot_rows<dot_plain<uint16_t, half_to_float>>,
      .bf16 = dot_rows<dot_plain<uint16_t, bfloat_to_float>>,
      .q8_0 = dot_rows<dot32<BlockQ8_0>, gguf::Type::q8_0>,
      .q4_0 = dot_rows<dot32<BlockQ4_0>, gguf::Type::q4_0>,
      .q4_1 = dot_rows<dot32<BlockQ4_1>, gguf::Type::q4_1>,
      .q5_0 = dot_rows<dot32<BlockQ5_0>, gguf::Type::q5_0>,
      .q5_1 = dot_rows<dot32<BlockQ5_1>, gguf::Type::q5_1>,
      .iq4_nl = dot_rows<dot32<BlockIQ4NL>, gguf::Type::iq4_nl>,
      .q2_k = dot_rows<dot256<BlockQ2K>>,
      .q3_k = dot_rows<dot256<BlockQ3K>>,
      .q4_k = dot_rows<dot256<BlockQ4K>, gguf::Type::q4_k>,
      .q5_k = dot_rows<dot256<BlockQ5K>, gguf::Type::q5_k>,
      .q6_k = dot_rows<dot256<BlockQ6K>, gguf::Type::q6_k>,
      .iq4_xs = dot_rows<dot256<BlockIQ4XS>, gguf::Type::iq4_xs>,
      .round32 = round32,
      .round256 = round256,
      .sum_rows_f32 = sum_rows<float, same>,
      .sum_rows_f16 = sum_rows<uint16_t, half_to_float>,
      .scale_maximum = scale_maximum,
      .exp_sum = exp_sum,
      .silu_multiply = silu_multiply,
  };
  return table;
}

}  // namespace wenqu::engine::cpu
