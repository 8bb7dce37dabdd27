#include "engine/ops/matmul.h"

#include <algorithm>

#include "engine/cpu/interleaved.h"

namespace wenqu::engine::ops {
namespace {

constexpr size_t kPieceBytes = 512 << 10;

}  // namespace

size_t rounding_unit(const Matrix& matrix) {
  switch (cpu::input_form(matrix.type)) {
    case cpu::kPlain: return 0;
    case cpu::kRounded32: return 32;
    case cpu::kRounded256: return 256;
  }
  return 0;
}

void Inputs::make_room(size_t tokens, size_t n, std::initializer_list<const Matrix*> matrices) {
  n_ = n;
  for (const Matrix* matrix : matrices)
    if (*matrix) forms_ |= cpu::input_form(matrix->type);
  if (forms_ & cpu::kRounded32) {
    q32_.resize(tokens * n);
    scale32_.resize(tokens * (n / 32));
    sum32_.resize(tokens * (n / 32));
  }
  if (forms_ & cpu::kRounded256) {
    q256_.resize(tokens * n);
    scale256_.resize(tokens * (n / 256));
    sum256_.resize(tokens * (n / 16));
  }
  for (size_t t = 0; t < tokens; ++t) {
    if (forms_ & cpu::kRounded32) {
      rows_[t].q32 = q32_.data() + t * n;
      rows_[t].scale32 = scale32_.data() + t * (n / 32);
      rows_[t].sum32 = sum32_.data() + t * (n / 32);
    }
    if (!(forms_ & cpu::kRounded256)) continue;
    rows_[t].q256 = q256_.data() + t * n;
    rows_[t].scale256 = scale256_.data() + t * (n / 256);
    rows_[t].sum256 = sum256_.data() + t * (n / 16);
  }
}

Inputs::Inputs(const Compute& compute, const float* values, size_t tokens, size_t n, size_t stride,
               std::initializer_list<const Matrix*> matrices)
    : rows_(tokens) {
  make_room(tokens, n, matrices);
  for (size_t t = 0; t < tokens; ++t) rows_[t].values = values + t * stride;
  if (forms_ == cpu::kPlain) return;
  compute.parallel(tokens, 8, [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) round(compute, t, 0, n, values + t * stride);
  });
}

Inputs::Inputs(size_t tokens, size_t n, std::initializer_list<const Matrix*> matrices) : rows_(tokens) {
  make_room(tokens, n, matrices);
}

void Inputs::round(const Compute& compute, size_t token, size_t begin, size_t count, const float* values) {
  if (forms_ & cpu::kRounded32) {
    const size_t block = (token * n_ + begin) / 32;
    compute.kernels.round32(values, count, q32_.data() + token * n_ + begin, scale32_.data() + block, sum32_.data() + block);
  }
  if (forms_ & cpu::kRounded256) {
    const size_t at = token * n_ + begin;
    compute.kernels.round256(values, count, q256_.data() + at, scale256_.data() + at / 256, sum256_.data() + at / 16);
  }
}

void dequantize_row(const Matrix& matrix, size_t index, size_t row, float* out) {
  if (!matrix.interleaved) return cpu::dequantize_row(matrix.type, matrix.row(index, row), matrix.inputs, out);
  std::vector<std::byte> plain(matrix.row_bytes);
  const size_t among = row % cpu::kInterleavedRows;
  cpu::copy_row(matrix.type, matrix.row(index, row - among), among, matrix.row_bytes, plain.data());
  cpu::dequantize_row(matrix.type, plain.data(), matrix.inputs, out);
}

std::vector<float*> row_pointers(float* out, size_t tokens, size_t stride) {
  std::vector<float*> rows(tokens);
  for (size_t t = 0; t < tokens; ++t) rows[t] = out + t * stride;
  return rows;
}

size_t rows_per_piece(const Compute& compute, const Matrix& matrix, size_t tokens) {
  constexpr size_t kTogether = 32, kMost = 1024;   // rows: that the kernels take at a time; of a piece
  // One token: long runs of memory. Many: as many rows as the kernels unpack for one reading of the inputs.
  const size_t wanted = tokens < kTogether ? kPieceBytes / matrix.row_bytes : 128;
  const size_t fair = matrix.outputs / (4 * static_cast<size_t>(compute.pool.threads()));
  return std::clamp<size_t>(std::min(wanted, fair) / kTogether * kTogether, kTogether, kMost);
}

void matmul_rows(const Compute& compute, const Matrix& matrix, size_t index, size_t begin, size_t end,
                 std::span<const cpu::InputRow> inputs, std::span<float* const> outputs, size_t first_output) {
  cpu::DotRows args;
  args.weights = matrix.row(index, begin);
  args.interleaved = matrix.interleaved;
  args.first = first_output;
  args.row_bytes = matrix.row_bytes;
  args.rows = end - begin;
  args.n = matrix.inputs;
  args.inputs = inputs.data();
  args.outputs = outputs.data();
  args.tokens = inputs.size();
  compute.kernels.dot_rows(matrix.type)(args);
}

void matmul(const Compute& compute, const Matrix& matrix, size_t index, std::span<const cpu::InputRow> inputs,
            std::span<float* const> outputs) {
  compute.parallel(matrix.outputs, rows_per_piece(compute, matrix, inputs.size()), [&](size_t begin, size_t end) {
    matmul_rows(compute, matrix, index, begin, end, inputs, outputs, begin);
  });
}

}  // namespace wenqu::engine::ops
