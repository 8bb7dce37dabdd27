// The inner loops of the engine. They take plain parameter structs and raw pointers, know nothing of
// models, and exist for each instruction set as the same functions; the scalar ones are the reference.
//
// Inputs that meet quantized weights are rounded to 8 bits as llama.cpp rounds them, so that its figures
// can be held against ours: for types with blocks of 32 in blocks of 32 with a scale of half precision, for
// those with blocks of 256 in blocks of 256 with a float scale. The scales are floats in range all the same, since V3's activations
// pass the range of half floats.
//
// A quantized block's products are summed as whole numbers, exactly; then, block by block,
//   result = fma(d, the input's scale * products, result)
// or, for types with minima, whose addend is m * sum(x) or -(dmin * the minima's sum),
//   result = fma(the input's scale, fma(d, products, addend), result).
// So a result is the same to the last bit for every instruction set, however many rows and tokens go together. With
// weights of floats it depends on the instruction set, but not on the batch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/cpu/isa.h"
#include "engine/gguf/type.h"

namespace wenqu::engine::cpu {

// The forms of an input row that kernels read.
enum InputForm : unsigned {
  kPlain = 0,
  kRounded32 = 1,    // blocks of 32
  kRounded256 = 2,   // blocks of 256
};

// What a type's kernel reads.
inline InputForm input_form(gguf::Type type) {
  switch (type) {
    case gguf::Type::f32:
    case gguf::Type::f16:
    case gguf::Type::bf16: return kPlain;
    case gguf::Type::q8_0:
    case gguf::Type::q4_0:
    case gguf::Type::q4_1:
    case gguf::Type::q5_0:
    case gguf::Type::q5_1:
    case gguf::Type::iq4_nl: return kRounded32;
    case gguf::Type::q2_k:
    case gguf::Type::q3_k:
    case gguf::Type::q4_k:
    case gguf::Type::q5_k:
    case gguf::Type::q6_k:
    case gguf::Type::iq4_xs: return kRounded256;
  }
  return kPlain;
}

// One token's input to a matrix of n inputs.
struct InputRow {
  const float* values = nullptr;      // [n]
  const int8_t* q32 = nullptr;        // [n]: values / scale32, rounded
  const float* scale32 = nullptr;     // [n / 32]
  const int16_t* sum32 = nullptr;     // [n / 32]: sums of q32
  const int8_t* q256 = nullptr;       // [n]: values / scale256, rounded
  const float* scale256 = nullptr;    // [n / 256]
  const int16_t* sum256 = nullptr;    // [n / 16]: sums of 16 of q256; of a block's 16, the even ones before the odd ones
};

// outputs[t][first + r] = dot(row r, inputs[t]) for r in [0, rows), t in [0, tokens).
struct DotRows {
  const std::byte* weights = nullptr;    // [rows][row_bytes]
  bool interleaved = false;              // eight rows lie side by side (interleaved.h); rows is a multiple of 8
  size_t first = 0;                      // where the rows' results begin in an output
  size_t row_bytes = 0;
  size_t rows = 0;
  size_t n = 0;                          // values in a row, a multiple of the type's block
  const InputRow* inputs = nullptr;      // [tokens], in the form that input_form(type) names
  float* const* outputs = nullptr;       // [tokens]
  size_t tokens = 0;
};
using DotRowsFunction = void (*)(const DotRows&);   // may throw std::bad_alloc

// A sum of rows, each with its weight: out[i] += weights[r] * row r [i] for r in [0, rows), in that order.
struct WeightedSum {
  const float* weights = nullptr;        // [rows]
  size_t rows = 0;
  float* out = nullptr;                  // [n]
};
// Several sums over the same rows.
struct SumRows {
  const std::byte* rows = nullptr;       // [the most that a sum takes][row_bytes]
  size_t row_bytes = 0;
  size_t n = 0;                          // values of a row that count
  const WeightedSum* sums = nullptr;     // [count]
  size_t count = 0;
};
using SumRowsFunction = void (*)(const SumRows&);

struct Kernels {
  const char* name = nullptr;
  bool gain_by_interleaving = false;   // where rows may lie side by side, they should

  DotRowsFunction f32 = nullptr, f16 = nullptr, bf16 = nullptr;
  DotRowsFunction q8_0 = nullptr, q4_0 = nullptr, q4_1 = nullptr, q5_0 = nullptr, q5_1 = nullptr, iq4_nl = nullptr;
  DotRowsFunction q2_k = nullptr, q3_k = nullptr, q4_k = nullptr, q5_k = nullptr, q6_k = nullptr, iq4_xs = nullptr;

  // n is a multiple of the block. A block that holds a value that is not finite gets the scale NaN.
  void (*round32)(const float* values, size_t n, int8_t* q, float* scale, int16_t* sum) = nullptr;
  void (*round256)(const float* values, size_t n, int8_t* q, float* scale, int16_t* sum) = nullptr;
  SumRowsFunction sum_rows_f32 = nullptr, sum_rows_f16 = nullptr;
  // values[i] *= scale; gives the largest, or -infinity. One that is not a number is none.
  float (*scale_maximum)(float* values, size_t n, float scale) = nullptr;
  // values[i] = exp(values[i] - maximum); gives their sum.
  float (*exp_sum)(float* values, size_t n, float maximum) = nullptr;
  void (*silu_multiply)(const float* gate, const float* up, float* out, size_t n) = nullptr;   // gate / (1 + exp(-gate)) * up

  DotRowsFunction dot_rows(gguf::Type type) const {
    switch (type) {
      case gguf::Type::f32: return f32;
      case gguf::Type::f16: return f16;
      case gguf::Type::bf16: return bf16;
      case gguf::Type::q8_0: return q8_0;
      case gguf::Type::q4_0: return q4_0;
      case gguf::Type::q4_1: return q4_1;
      case gguf::Type::q5_0: return q5_0;
      case gguf::Type::q5_1: return q5_1;
      case gguf::Type::iq4_nl: return iq4_nl;
      case gguf::Type::q2_k: return q2_k;
      case gguf::Type::q3_k: return q3_k;
      case gguf::Type::q4_k: return q4_k;
      case gguf::Type::q5_k: return q5_k;
      case gguf::Type::q6_k: return q6_k;
      case gguf::Type::iq4_xs: return iq4_xs;
    }
    return nullptr;
  }
};

// REQUIRES: is_supported(isa).
const Kernels& kernels(Isa isa);

const Kernels& scalar_kernels();
#if defined(__x86_64__)
const Kernels& avx2_kernels();
#endif

// One row of weights as floats. REQUIRES: n is a multiple of the type's block.
void dequantize_row(gguf::Type type, const std::byte* row, size_t n, float* out);

}  // namespace wenqu::engine::cpu
