#include "engine/cpu/kernels.h"

#include "engine/cpu/kernel_sets.h"
#include "engine/cpu/unpack.h"

namespace wenqu::engine::cpu {

#if defined(__x86_64__)
namespace {

// Even what fills a set's table in may be compiled to its instructions: only the set that is asked for is touched.
const Kernels& avx512_kernels() {
  static const Kernels table = [] {
    Kernels kernels = avx2_kernels();
    kernels.name = "avx512";
    use_avx512_floats(kernels);
    use_avx512_products(kernels);
    return kernels;
  }();
  return table;
}

const Kernels& amx_kernels() {
  static const Kernels table = [] {
    Kernels kernels = avx512_kernels();
    kernels.name = "amx";
    use_amx_products(kernels);
    return kernels;
  }();
  return table;
}

}  // namespace
#endif

const Kernels& kernels(Isa isa) {
#if defined(__x86_64__)
  switch (isa) {
    case Isa::scalar: break;
    case Isa::avx2: return avx2_kernels();
    case Isa::avx512: return avx512_kernels();
    case Isa::amx: return amx_kernels();
  }
#endif
  static_cast<void>(isa);
  return scalar_kernels();
}

namespace {

void write(const Unpacked32& block, float* out) {
  for (int i = 0; i < 32; ++i) out[i] = block.d * block.w[i] + block.m;
}

void write(const Unpacked256& block, float* out) {
  for (int sub = 0; sub < 16; ++sub) {
    const float scale = block.d * block.scales[sub], minimum = block.dmin * block.minima[sub];
    for (int i = sub * 16; i < sub * 16 + 16; ++i) out[i] = scale * block.w[i] - minimum;
  }
}

template <typename Block, typename Unpacked>
void dequantize(const std::byte* row, size_t n, float* out) {
  constexpr size_t kValues = sizeof(Unpacked::w);
  for (size_t i = 0; i < n / kValues; ++i) {
    Block block;
    std::memcpy(&block, row + i * sizeof(Block), sizeof(Block));
    Unpacked unpacked;
    unpack(block, unpacked);
    write(unpacked, out + i * kValues);
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
    case gguf::Type::q8_0: dequantize<BlockQ8_0, Unpacked32>(row, n, out); break;
    case gguf::Type::q4_0: dequantize<BlockQ4_0, Unpacked32>(row, n, out); break;
    case gguf::Type::q4_1: dequantize<BlockQ4_1, Unpacked32>(row, n, out); break;
    case gguf::Type::q5_0: dequantize<BlockQ5_0, Unpacked32>(row, n, out); break;
    case gguf::Type::q5_1: dequantize<BlockQ5_1, Unpacked32>(row, n, out); break;
    case gguf::Type::iq4_nl: dequantize<BlockIQ4NL, Unpacked32>(row, n, out); break;
    case gguf::Type::q2_k: dequantize<BlockQ2K, Unpacked256>(row, n, out); break;
    case gguf::Type::q3_k: dequantize<BlockQ3K, Unpacked256>(row, n, out); break;
    case gguf::Type::q4_k: dequantize<BlockQ4K, Unpacked256>(row, n, out); break;
    case gguf::Type::q5_k: dequantize<BlockQ5K, Unpacked256>(row, n, out); break;
    case gguf::Type::q6_k: dequantize<BlockQ6K, Unpacked256>(row, n, out); break;
    case gguf::Type::iq4_xs: dequantize<BlockIQ4XS, Unpacked256>(row, n, out); break;
  }
}

}  // namespace wenqu::engine::cpu
