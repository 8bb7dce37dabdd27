#include "engine/model/repack.h"

#include <algorithm>
#include <cstring>

#include "base/page_advice.h"
#include "engine/cpu/interleaved.h"

namespace wenqu::engine {
namespace {

constexpr size_t kBoundary = 4096;     // where a stack begins
constexpr size_t kRowsTogether = 64;   // whole eights

struct RepackedStack {
  Matrix* matrix;
  size_t count;   // of matrices in the stack
  size_t bytes() const { return count * matrix->outputs * matrix->row_bytes; }
  size_t room() const { return (bytes() + kBoundary - 1) / kBoundary * kBoundary; }
};

bool interleaves(const cpu::Kernels& kernels, const Matrix& matrix) {
  return kernels.gain_by_interleaving && cpu::can_interleave(matrix.type, matrix.outputs);
}

std::vector<RepackedStack> stacks_of(const cpu::Kernels& kernels, const Config& config, Weights& weights) {
  std::vector<RepackedStack> stacks;
  const auto add = [&](Matrix& matrix, size_t count) {
    if (matrix) stacks.push_back({&matrix, count});
  };
  for (Layer& layer : weights.layers) {
    for (Matrix* matrix : {&layer.q, &layer.k, &layer.v, &layer.q_a, &layer.q_b, &layer.kv_a, &layer.attention_output, &layer.gate, &layer.up, &layer.down,
                           &layer.router})
      add(*matrix, 1);
    for (Matrix* matrix : {&layer.expert_gate, &layer.expert_up, &layer.expert_down}) add(*matrix, config.moe.router.experts);
    // What was derived for these is memory of our own already.
    for (Matrix* matrix : {&layer.k_b, &layer.v_b})
      if (interleaves(kernels, *matrix)) add(*matrix, config.heads);
  }
  add(weights.output, 1);
  return stacks;
}

void repack_stack(const ops::Compute& compute, const Matrix& from, size_t count, const Matrix& to, std::byte* out) {
  const size_t pieces = (from.outputs + kRowsTogether - 1) / kRowsTogether;   // of a matrix
  compute.parallel(count * pieces, 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const size_t index = i / pieces, first = i % pieces * kRowsTogether, rows = std::min(kRowsTogether, from.outputs - first);
      std::byte* const place = out + index * to.stride_bytes + first * to.row_bytes;
      if (to.interleaved) cpu::interleave_rows(from.type, from.row(index, first), rows, from.row_bytes, place);
      else std::memcpy(place, from.row(index, first), rows * from.row_bytes);
    }
  });
}

}  // namespace

size_t repacked_bytes(const cpu::Kernels& kernels, const Config& config, Weights& weights) {
  size_t room = 0;
  for (const RepackedStack& stack : stacks_of(kernels, config, weights)) room += stack.room();
  return room;
}

Status repack(const ops::Compute& compute, const Config& config, bool mapped, const std::function<Status(double part)>& done, Weights& weights) {
  const std::vector<RepackedStack> stacks = stacks_of(compute.kernels, config, weights);
  const size_t room = repacked_bytes(compute.kernels, config, weights);
  size_t copied = 0;
  WENQU_ASSIGN_OR_RETURN(weights.repacked, LargePages::allocate(room));
  for (const RepackedStack& stack : stacks) {
    const Matrix from = *stack.matrix;
    Matrix to = from;
    std::byte* const place = weights.repacked.data() + copied;
    to.data = place;
    to.stride_bytes = from.outputs * from.row_bytes;
    to.interleaved = interleaves(compute.kernels, from);
    repack_stack(compute, from, stack.count, to, place);
    WENQU_RETURN_IF_ERROR(compute.cancel.status());
    *stack.matrix = to;
    if (mapped && from.stride_bytes == to.stride_bytes) let_go({from.data, stack.bytes()});
    copied += stack.room();
    WENQU_RETURN_IF_ERROR(done(static_cast<double>(copied) / static_cast<double>(room)));
  }
  return {};
}

}  // namespace wenqu::engine
