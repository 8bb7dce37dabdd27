// The reference: each kernel as its definition reads.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/cpu/blocks.h"
#include "engine/cpu/kernels.h"

namespace wenqu::engine::cpu {
namespace {

template <float (*kDot)(const std::byte* row, size_t n, const InputRow& input)>
void dot_rows(const DotRows& args) {
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

float dot_q8_0(const std::byte* row, size_t n, const InputRow& input) {
  float sum = 0;
  for (size_t b = 0; b < n / 32; ++b) {
    BlockQ8_0 block;
    std::memcpy(&block, row + b * sizeof(block), sizeof(block));
    int32_t products = 0;
    for (size_t i = 0; i < 32; ++i) products += block.q[i] * input.q[b * 32 + i];
    sum += half_to_float(block.d) * input.scale[b] * static_cast<float>(products);
  }
  return sum;
}

float dot_q4_k(const std::byte* row, size_t n, const InputRow& input) {
  float sum = 0;
  for (size_t b = 0; b < n / 256; ++b) {
    BlockQ4K block;
    std::memcpy(&block, row + b * sizeof(block), sizeof(block));
    uint8_t scales[8], minima[8];
    unpack_q4k_scales(block.scales, scales, minima);
    const float d = half_to_float(block.d), dmin = half_to_float(block.dmin);
    for (size_t sub = 0; sub < 8; ++sub) {
      const uint8_t* q = block.q + sub / 2 * 32;
      const int8_t* x = input.q + b * 256 + sub * 32;
      int32_t products = 0;
      for (size_t i = 0; i < 32; ++i) products += (sub % 2 ? q[i] >> 4 : q[i] & 15) * x[i];
      sum += d * scales[sub] * input.scale[b * 8 + sub] * static_cast<float>(products);
      sum -= dmin * minima[sub] * input.sum[b * 8 + sub];
    }
  }
  return sum;
}

float dot_q6_k(const std::byte* row, size_t n, const InputRow& input) {
  float sum = 0;
  for (size_t b = 0; b < n / 256; ++b) {
    BlockQ6K block;
    std::memcpy(&block, row + b * sizeof(block), sizeof(block));
    const float d = half_to_float(block.d);
    for (int half = 0; half < 2; ++half)
      for (int quarter = 0; quarter < 4; ++quarter) {
        const size_t place = static_cast<size_t>(half * 4 + quarter);
        const int8_t* x = input.q + b * 256 + place * 32;
        int32_t products = 0;
        for (int i = 0; i < 32; ++i) {
          const uint8_t low = block.low[half * 64 + i + quarter % 2 * 32];
          const int q = ((quarter < 2 ? low & 15 : low >> 4) | (block.high[half * 32 + i] >> quarter * 2 & 3) << 4) - 32;
          products += block.scales[half * 8 + quarter * 2 + i / 16] * q * x[i];
        }
        sum += d * input.scale[b * 8 + place] * static_cast<float>(products);
      }
  }
  return sum;
}

void quantize(const float* values, size_t n, int8_t* q, float* scale, float* sum) {
  for (size_t b = 0; b * kBlock < n; ++b) {
    const size_t count = std::min(kBlock, n - b * kBlock);
    const float* x = values + b * kBlock;
    float largest = 0;
    bool finite = true;
    for (size_t i = 0; i < count; ++i) {
      largest = std::max(largest, std::fabs(x[i]));
      finite = finite && std::isfinite(x[i]);
    }
    // What is not finite must stay visible: the scale carries it to the result.
    scale[b] = finite ? largest / 127 : NAN;
    const float inverse = finite && largest > 0 ? 127 / largest : 0;
    int32_t total = 0;
    for (size_t i = 0; i < kBlock; ++i) {
      const float scaled = i < count && finite ? x[i] * inverse : 0;
      q[b * kBlock + i] = static_cast<int8_t>(std::nearbyint(std::clamp(scaled, -127.0f, 127.0f)));
      total += q[b * kBlock + i];
    }
    sum[b] = scale[b] * static_cast<float>(total);
  }
}

float dot(const float* a, const float* b, size_t n) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

void add_scaled(float factor, const float* x, float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] += factor * x[i];
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
      .q8_0 = dot_rows<dot_q8_0>,
      .q4_k = dot_rows<dot_q4_k>,
      .q6_k = dot_rows<dot_q6_k>,
      .quantize = quantize,
      .dot = dot,
      .add_scaled = add_scaled,
      .exp_sum = exp_sum,
      .silu_multiply = silu_multiply,
  };
  return table;
}

}  // namespace wenqu::engine::cpu
