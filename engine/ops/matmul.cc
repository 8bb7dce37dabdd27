#include "engine/ops/matmul.h"

#include <algorithm>

namespace wenqu::engine::ops {
namespace {

constexpr size_t kPieceBytes = 16 << 10;

}  // namespace

Inputs::Inputs(const Compute& compute, const float* values, size_t tokens, size_t n, size_t stride, bool quantize) {
  rows_.resize(tokens);
  const size_t blocks = (n + cpu::kBlock - 1) / cpu::kBlock;
  if (quantize) {
    q_.resize(tokens * blocks * cpu::kBlock);
    scales_.resize(tokens * blocks);
    sums_.resize(tokens * blocks);
  }
  for (size_t t = 0; t < tokens; ++t) {
    rows_[t].values = values + t * stride;
    if (!quantize) continue;
    rows_[t].q = q_.data() + t * blocks * cpu::kBlock;
    rows_[t].scale = scales_.data() + t * blocks;
    rows_[t].sum = sums_.data() + t * blocks;
  }
  if (quantize)
    compute.parallel(tokens, 8, [&](size_t begin, size_t end) {
      for (size_t t = begin; t < end; ++t)
        compute.kernels.quantize(values + t * stride, n, q_.data() + t * blocks * cpu::kBlock, scales_.data() + t * blocks,
                                 sums_.data() + t * blocks);
    });
}

std::vector<float*> row_pointers(float* out, size_t tokens, size_t stride) {
  std::vector<float*> rows(tokens);
  for (size_t t = 0; t < tokens; ++t) rows[t] = out + t * stride;
  return rows;
}

size_t rows_per_piece(const Matrix& matrix) { return std::clamp<size_t>(kPieceBytes / matrix.row_bytes, 4, 64); }

void matmul_rows(const Compute& compute, const Matrix& matrix, size_t index, size_t begin, size_t end,
                 std::span<const cpu::InputRow> inputs, std::span<float* const> outputs, size_t first_output) {
  cpu::DotRows args;
  args.weights = matrix.row(index, begin);
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
  compute.parallel(matrix.outputs, rows_per_piece(matrix), [&](size_t begin, size_t end) {
    matmul_rows(compute, matrix, index, begin, end, inputs, outputs, begin);
  });
}

}  // namespace wenqu::engine::ops
