#include "engine/cpu/kernels.h"

#include "engine/cpu/blocks.h"

namespace wenqu::engine::cpu {

const Kernels& kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx2) return avx2_kernels();
#endif
  static_cast<void>(isa);
  return scalar_kernels();
}

namespace {

void dequantize(const BlockQ8_0& block, float* out) {
  const float d = half_to_float(block.d);
  for (int i = 0; i < 32; ++i) out[i] = d * block.q[i];
}

void dequantize(const BlockQ4K& block, float* out) {
  uint8_t scales[8], minima[8];
  unpack_q4k_scales(block.scales, scales, minima);
  const float d = half_to_float(block.d), dmin = half_to_float(block.dmin);
  for (int sub = 0; sub < 8; ++sub) {
    const float scale = d * scales[sub], minimum = dmin * minima[sub];
    const uint8_t* q = block.q + sub / 2 * 32;
    for (int i = 0; i < 32; ++i) out[sub * 32 + i] = scale * (sub % 2 ? q[i] >> 4 : q[i] & 15) - minimum;
  }
}

void dequantize(const BlockQ6K& block, float* out) {
  const float d = half_to_float(block.d);
  for (int half = 0; half < 2; ++half) {
    const uint8_t* low = block.low + half * 64;
    const uint8_t* high = block.high + half * 32;
    const int8_t* scales = block.scales + half * 8;
    for (int quarter = 0; quarter < 4; ++quarter)
      for (int i = 0; i < 32; ++i) {
        const uint8_t byte = low[i + quarter % 2 * 32];
        const int q = ((quarter < 2 ? byte & 15 : byte >> 4) | (high[i] >> quarter * 2 & 3) << 4) - 32;
        out[half * 128 + quarter * 32 + i] = d * scales[quarter * 2 + i / 16] * q;
      }
  }
}

template <typename Block, size_t kValues>
void dequantize_blocks(const std::byte* row, size_t n, float* out) {
  for (size_t i = 0; i < n / kValues; ++i) {
    Block block;
    std::memcpy(&block, row + i * sizeof(Block), sizeof(Block));
    dequantize(block, out + i * kValues);
  }
}

}  // namespace

void dequantize_row(gguf::Type type, const std::byte* row, size_t n, float* out) {
  switch (type) {
    case gguf::Type::f32: std::memcpy(out, row, n * sizeof(float)); break;
    case gguf::Type::f16:
    case gguf::Type::bf16:
      for (size_t i = 0; i < n; ++i) {
        uint16_t bits;
        std::memcpy(&bits, row + i * 2, 2);
        out[i] = type == gguf::Type::f16 ? half_to_float(bits) : bfloat_to_float(bits);
      }
      break;
    case gguf::Type::q8_0: dequantize_blocks<BlockQ8_0, 32>(row, n, out); break;
    case gguf::Type::q4_k: dequantize_blocks<BlockQ4K, 256>(row, n, out); break;
    case gguf::Type::q6_k: dequantize_blocks<BlockQ6K, 256>(row, n, out); break;
    default: break;
  }
}

}  // namespace wenqu::engine::cpu
