// The inner loops of the engine. They take plain parameter structs and raw pointers, know nothing of
// models, and exist for each instruction set as the same functions; the scalar ones are the reference.
//
// Activations that meet quantized weights are rounded to 8 bits in blocks of 32 with float scales:
// V3's activations pass the range of half floats, so no half float stands anywhere here. For each
// token the order of additions is the same whatever the number of tokens, so a token's result does not
// depend on its batch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/cpu/isa.h"
#include "engine/gguf/type.h"

namespace wenqu::engine::cpu {

inline constexpr size_t kBlock = 32;

// One token's input to a matrix.
struct InputRow {
  const float* values = nullptr;   // [n]
  const int8_t* q = nullptr;       // [n rounded up to 32]: round(values / scale)
  const float* scale = nullptr;    // [blocks]
  const float* sum = nullptr;      // [blocks]: scale * (sum of the block's q)
};

// outputs[t][first + r] = dot(row r, inputs[t]) for r in [0, rows), t in [0, tokens).
struct DotRows {
  const std::byte* weights = nullptr;    // [rows][row_bytes]
  size_t first = 0;                      // where the rows' results begin in an output
  size_t row_bytes = 0;
  size_t rows = 0;
  size_t n = 0;                          // values in a row, a multiple of the type's block
  const InputRow* inputs = nullptr;      // [tokens]; quantized types read q, scale, sum, others values
  float* const* outputs = nullptr;       // [tokens]
  size_t tokens = 0;
};
using DotRowsFunction = void (*)(const DotRows&);

struct Kernels {
  const char* name;

  DotRowsFunction f32, f16, bf16, q8_0, q4_k, q6_k;

  // Rounds n values to q, scale and sum; the last block is filled up with zeros.
  void (*quantize)(const float* values, size_t n, int8_t* q, float* scale, float* sum);
  float (*dot)(const float* a, const float* b, size_t n);
  void (*add_scaled)(float factor, const float* x, float* y, size_t n);   // y += factor * x
  // values[i] = exp(values[i] - maximum); gives their sum.
  float (*exp_sum)(float* values, size_t n, float maximum);
  void (*silu_multiply)(const float* gate, const float* up, float* out, size_t n);   // gate / (1 + exp(-gate)) * up

  // nullptr for types without a kernel.
  DotRowsFunction dot_rows(gguf::Type type) const {
    switch (type) {
      case gguf::Type::f32: return f32;
      case gguf::Type::f16: return f16;
      case gguf::Type::bf16: return bf16;
      case gguf::Type::q8_0: return q8_0;
      case gguf::Type::q4_k: return q4_k;
      case gguf::Type::q6_k: return q6_k;
      default: return nullptr;
    }
  }
};

// Whether a type's kernel reads the 8-bit form of its input.
inline bool reads_quantized(gguf::Type type) {
  return type != gguf::Type::f32 && type != gguf::Type::f16 && type != gguf::Type::bf16;
}

const Kernels& kernels(Isa isa);

const Kernels& scalar_kernels();
#if defined(__x86_64__)
const Kernels& avx2_kernels();   // only where the processor has AVX2, FMA and F16C
#endif

// One row of weights as floats. REQUIRES: a type with a kernel, n a multiple of its block.
void dequantize_row(gguf::Type type, const std::byte* row, size_t n, float* out);

}  // namespace wenqu::engine::cpu
