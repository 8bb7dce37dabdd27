#include "engine/device/feed_forward.h"

#include <algorithm>

#include "engine/cuda/kernel_list.h"

namespace wenqu::engine::device {
namespace {

cuda::FeedForward feed_forward_of(const DeviceMatrix& gate, const DeviceMatrix& up, const DeviceMatrix& down, size_t experts) {
  return {gate.stack, up.stack, down.stack, gate.type, up.type, down.type, as_int(experts)};
}

// The shapes alone, where the weights are not on the device yet.
cuda::FeedForward shape_of(const Matrix& gate, const Matrix& up, const Matrix& down, size_t experts) {
  const auto stack = [](const Matrix& m) { return cuda::Stack{nullptr, 0, 0, as_int(m.inputs), as_int(m.outputs)}; };
  return {stack(gate), stack(up), stack(down), gate.type, up.type, down.type, as_int(experts)};
}

}  // namespace

size_t feed_forward_scratch(const Config& config, const Weights& weights, const Placement& placement, size_t cached) {
  size_t bytes = 0;
  const size_t experts = config.moe.router.experts, tokens = placement.batch_tokens;
  for (size_t l = placement.layers.first; l < placement.layers.end; ++l) {
    const Layer& layer = weights.layers[l];
    const cuda::FeedForward dense = shape_of(layer.gate, layer.up, layer.down, 1);
    if (layer.gate) bytes = std::max(bytes, cuda::feed_forward_scratch(dense, as_int(tokens), 1));
    const size_t there = !layer.is_moe ? 0 : layer.mixture >= placement.on_cpu ? experts : cached;
    if (there == 0) continue;
    const cuda::FeedForward routed = shape_of(layer.expert_gate, layer.expert_up, layer.expert_down, there);
    const int used = as_int(config.moe.router.used);
    bytes = std::max(bytes, layer.gate ? cuda::experts_scratch(routed, dense, as_int(tokens), used) : cuda::feed_forward_scratch(routed, as_int(tokens), used));
  }
  return bytes;
}

Status feed_forward(const Workplace& w, const Batch& batch, size_t l, const cuda::NormAfter& after, ExpertsOnCpu& on_cpu, const CancelToken& cancel) {
  Scratch& s = w.scratch;
  const DeviceLayer& layer = w.weights.layers[l];
  const int tokens = as_int(batch.tokens);
  const auto dense_or_shared = [&](const cuda::NormAfter& then) -> Status {
    if (!layer.gate) return {};
    return cuda::feed_forward(w.device, feed_forward_of(layer.gate, layer.up, layer.down, 1), w.normed(), tokens, nullptr, 1, s.delta,
                              false, s.feed_forward, then, batch.kind);
  };
  if (!layer.is_moe) return dense_or_shared(after);
  const ops::RouterConfig& router = w.config.moe.router;
  WENQU_RETURN_IF_ERROR(cuda::route(
      w.device, layer.router.stack, layer.router.type, w.normed(), tokens, s.scores,
      {nullptr, layer.router_bias, as_int(router.experts), as_int(router.used), router.gating == ops::RouterConfig::Gating::sigmoid,
       router.normalize, router.scale, as_int(router.groups), as_int(router.groups_used), s.choices},
      s.arrived, batch.kind));
  if (!layer.expert_gate) {
    WENQU_RETURN_IF_ERROR(on_cpu.compute(w, batch, l, cancel, [&] { return dense_or_shared({}); }));
    return after.rows.weight ? cuda::launch<cuda::RmsNorm>(w.device, {as_unsigned(batch.tokens)}, after.rows) : Status();
  }
  const cuda::FeedForward routed = feed_forward_of(layer.expert_gate, layer.expert_up, layer.expert_down, router.experts);
  if (layer.gate)
    return cuda::experts(w.device, routed, feed_forward_of(layer.gate, layer.up, layer.down, 1), w.normed(), tokens, s.choices, as_int(router.used),
                         s.delta, s.feed_forward, after, batch.kind);
  return cuda::feed_forward(w.device, routed, w.normed(), tokens, s.choices, as_int(router.used), s.delta, false, s.feed_forward, after,
                            batch.kind);
}

}  // namespace wenqu::engine::device
