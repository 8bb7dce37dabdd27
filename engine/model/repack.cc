#include "engine/model/repack.h"

#include <algorithm>
#include <cstring>

#include "base/page_advice.h"
#include "engine/cpu/interleaved.h"

namespace wenqu::engine {
namespace {

constexpr size_t kAlignment = 4096;   // of a matrix
constexpr size_t kPieceRows = 64;     // whole eights

struct Part {
  Matrix* matrix;
  size_t count;   // of matrices in the stack
  size_t bytes() const { return count * matrix->outputs * matrix->row_bytes; }
  size_t room() const { return (bytes() + kAlignment - 1) / kAlignment * kAlignment; }
};

std::vector<Part> parts_of(const Config& config, Weights& weights) {
  std::vector<Part> parts;
  const auto add = [&](Matrix& matrix, size_t count) {
    if (matrix) parts.push_back({&matrix, count});
  };
  for (Layer& layer : weights.layers) {
    for (Matrix* matrix : {&layer.q, &layer.k, &layer.v, &layer.q_a, &layer.q_b, &layer.kv_a, &layer.attention_output, &layer.gate, &layer.up, &layer.down,
                           &layer.router})
      add(*matrix, 1);
    for (Matrix* matrix : {&layer.expert_gate, &layer.expert_up, &layer.expert_down}) add(*matrix, config.moe.router.experts);
    // What was derived for these is memory of our own already.
    for (Matrix* matrix : {&layer.k_b, &layer.v_b})
      if (cpu::can_interleave(matrix->type, matrix->outputs)) add(*matrix, config.heads);
  }
  add(weights.output, 1);
  return parts;
}

void copy(const ops::Compute& compute, const Matrix& from, size_t count, const Matrix& to, std::byte* out) {
  const size_t pieces = (from.outputs + kPieceRows - 1) / kPieceRows;   // of a matrix
  compute.parallel(count * pieces, 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const size_t index = i / pieces, first = i % pieces * kPieceRows, rows = std::min(kPieceRows, from.outputs - first);
      std::byte* const place = out + index * to.stride_bytes + first * to.row_bytes;
      if (to.interleaved) cpu::interleave_rows(from.type, from.row(index, first), rows, from.row_bytes, place);
      else std::memcpy(place, from.row(index, first), rows * from.row_bytes);
    }
  });
}

}  // namespace

Status repack(const ops::Compute& compute, const Config& config, bool mapped, const std::function<Status(double part)>& done, Weights& weights) {
  const std::vector<Part> parts = parts_of(config, weights);
  size_t room = 0, copied = 0;
  for (const Part& part : parts) room += part.room();
  WENQU_ASSIGN_OR_RETURN(weights.repacked, LargePages::allocate(room));
  for (const Part& part : parts) {
    const Matrix from = *part.matrix;
    Matrix to = from;
    std::byte* const place = weights.repacked.data() + copied;
    to.data = place;
    to.stride_bytes = from.outputs * from.row_bytes;
    to.interleaved = cpu::can_interleave(from.type, from.outputs);
    copy(compute, from, part.count, to, place);
    WENQU_RETURN_IF_ERROR(compute.cancel.status());
    *part.matrix = to;
    if (mapped && from.stride_bytes == to.stride_bytes) let_go({from.data, part.bytes()});
    copied += part.room();
    WENQU_RETURN_IF_ERROR(done(static_cast<double>(copied) / static_cast<double>(room)));
  }
  return {};
}

}  // namespace wenqu::engine
