#include "engine/model/work.h"

#include <cmath>

namespace wenqu::engine {
namespace {

double parameters(const Matrix& matrix) { return static_cast<double>(matrix.inputs * matrix.outputs); }
double bytes(const Matrix& matrix) { return static_cast<double>(matrix.row_bytes * matrix.outputs); }

}  // namespace

Work work_of_batch(const Config& config, const Weights& weights, size_t tokens, size_t logits) {
  Work work;
  // A matrix, or `read` of several of one shape, of which each of `uses` inputs goes through `used`.
  const auto count = [&](const Matrix& matrix, double read, size_t uses, double used) {
    if (!matrix || uses == 0) return;
    work.operations += 2 * parameters(matrix) * used * static_cast<double>(uses);
    work.bytes += bytes(matrix) * read;
  };
  const double heads = config.heads, experts = config.moe.router.experts, used = config.moe.router.used;
  const double chosen = experts > 0 ? experts * (1 - std::pow(1 - used / experts, static_cast<double>(tokens))) : 0;
  for (const Layer& layer : weights.layers) {
    for (const Matrix* matrix : {&layer.q, &layer.k, &layer.v, &layer.q_a, &layer.q_b, &layer.kv_a,
                                 &layer.attention_output, &layer.gate, &layer.up, &layer.down, &layer.router})
      count(*matrix, 1, tokens, 1);
    for (const Matrix* matrix : {&layer.k_b, &layer.v_b}) count(*matrix, heads, tokens, heads);
    for (const Matrix* matrix : {&layer.expert_gate, &layer.expert_up, &layer.expert_down})
      count(*matrix, chosen, tokens, used);
  }
  count(weights.output, 1, logits, 1);
  return work;
}

}  // namespace wenqu::engine
