// Matrix products: weights times a batch of token rows.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <vector>

#include "engine/gguf/type.h"
#include "engine/ops/compute.h"
#include "engine/ops/numbers.h"

namespace wenqu::engine::ops {

// A stack of matrices of one shape; most are stacks of one. A view into the model file, or into what was made of it.
struct Matrix {
  gguf::Type type = gguf::Type::f32;
  const std::byte* data = nullptr;   // nullptr: the model has none
  size_t inputs = 0;                 // numbers in a row
  size_t outputs = 0;                // rows of one matrix
  size_t row_bytes = 0;
  size_t stride_bytes = 0;           // from one matrix to the next
  bool interleaved = false;          // eight rows lie side by side (cpu/interleaved.h): only whole eights have a place

  explicit operator bool() const { return data != nullptr; }
  // Where interleaved: of the first of eight rows.
  const std::byte* row(size_t matrix, size_t row) const { return data + matrix * stride_bytes + row * row_bytes; }
};

// How many numbers of an input are rounded together for a matrix; 0: they are taken as they are.
size_t rounding_unit(const Matrix& matrix);

// A batch of inputs, with the rounded forms that the weights they meet will read.
class Inputs {
 public:
  // values: [tokens][stride], of which the first n of each row count; they must outlive the Inputs.
  // The matrices take n inputs each; those the model does not have are passed over.
  Inputs(const Compute& compute, const float* values, size_t tokens, size_t n, size_t stride,
         std::initializer_list<const Matrix*> matrices);

  // Rows whose numbers come in parts, for matrices that take none as they are (rounding_unit).
  Inputs(size_t tokens, size_t n, std::initializer_list<const Matrix*> matrices);
  // The numbers [begin, begin + count) of a row: whole units. Several threads may bring different parts.
  void round(const Compute& compute, size_t token, size_t begin, size_t count, const float* values);

  std::span<const cpu::InputRow> rows() const { return rows_; }

 private:
  void make_room(size_t tokens, size_t n, std::initializer_list<const Matrix*> matrices);

  unsigned forms_ = cpu::kPlain;
  size_t n_ = 0;
  Numbers<int8_t> q32_, q256_;
  Numbers<float> scale32_, scale256_;
  Numbers<int16_t> sum32_, sum256_;
  std::vector<cpu::InputRow> rows_;
};

// Row `row` of matrix `index` as floats.
void dequantize_row(const Matrix& matrix, size_t index, size_t row, float* out);

// Pointers to the rows of out: [tokens][stride].
std::vector<float*> row_pointers(float* out, size_t tokens, size_t stride);

// outputs[t][o] = matrix `index` of the stack, row o, times inputs[t].
void matmul(const Compute& compute, const Matrix& matrix, size_t index, std::span<const cpu::InputRow> inputs,
            std::span<float* const> outputs);

// Rows that one piece of parallel work takes: whole groups of those that the kernels take at a time.
size_t rows_per_piece(const Compute& compute, const Matrix& matrix, size_t tokens);

// The part [begin, end) of a product, on the calling thread.
void matmul_rows(const Compute& compute, const Matrix& matrix, size_t index, size_t begin, size_t end,
                 std::span<const cpu::InputRow> inputs, std::span<float* const> outputs, size_t first_output);

}  // namespace wenqu::engine::ops
