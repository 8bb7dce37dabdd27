#include "engine/device/experts_on_cpu.h"

namespace wenqu::engine::device {
namespace {

size_t layers_on_cpu(const Weights& weights, const Placement& placement) {
  size_t layers = 0;
  for (size_t l = placement.layers.first; l < placement.layers.end; ++l) layers += weights.layers[l].is_moe && weights.layers[l].mixture < placement.on_cpu ? 1 : 0;
  return layers;
}

}  // namespace

size_t ExpertsOnCpu::most_cached(const Config& config, const Weights& weights, const Placement& placement) {
  const size_t layers = layers_on_cpu(weights, placement);
  return layers > 0 ? 1 + layers * config.moe.router.experts : 0;
}

Result<ExpertsOnCpu> ExpertsOnCpu::create(const std::shared_ptr<cuda::Device>& device, const Config& config, const Weights& weights,
                                          const Placement& placement) {
  ExpertsOnCpu experts;
  experts.any_ = layers_on_cpu(weights, placement) > 0;
  WENQU_ASSIGN_OR_RETURN(experts.cache_, ExpertCache::create(device, config, weights, placement, placement.expert_cache));
  return experts;
}

Status ExpertsOnCpu::compute(const Workplace& w, const Batch& batch, size_t l, const CancelToken& cancel, const std::function<Status()>& meanwhile) {
  Scratch& s = w.scratch;
  const size_t numbers = batch.tokens * w.config.embedding, places = batch.tokens * w.config.moe.router.used;
  static_assert(sizeof(cuda::Choice) == sizeof(ops::ExpertChoice) && sizeof(ops::ExpertChoice) == 8);
  normed_.resize(numbers), choices_.resize(places);
  delta_.assign(numbers, 0.0f);
  WENQU_RETURN_IF_ERROR(w.device.download(choices_.data(), s.choices, places * sizeof(cuda::Choice)));
  WENQU_RETURN_IF_ERROR(w.device.download(normed_.data(), s.normed, numbers * sizeof(float)));
  // Which experts are on the device depends on what was read before: not for sequences that are to be the same ever.
  size_t here = 0;
  if (cache_ && batch.kind == cuda::Rows::fastest) {
    here_.resize(places);
    here = cache_->divide(l, choices_, here_);
    if (here > 0) WENQU_RETURN_IF_ERROR(w.device.upload(s.choices, here_.data(), places * sizeof(cuda::Choice)));
  }
  WENQU_RETURN_IF_ERROR(meanwhile());
  bool computed = static_cast<bool>(w.weights.layers[l].gate);
  if (here > 0) {
    WENQU_RETURN_IF_ERROR(cuda::feed_forward(w.device, cache_->weights(l), w.normed(), as_int(batch.tokens), s.choices, as_int(w.config.moe.router.used), s.delta,
                                             computed, s.feed_forward));
    computed = true;
  }
  if (here == places) return {};
  WENQU_RETURN_IF_ERROR(w.placement.cpu_experts(l, normed_, choices_, delta_, cancel));
  if (!computed) return w.device.upload(s.delta, delta_.data(), numbers * sizeof(float));
  WENQU_RETURN_IF_ERROR(w.device.upload(s.from_cpu, delta_.data(), numbers * sizeof(float)));
  return w.add(s.from_cpu, s.delta, numbers);
}

}  // namespace wenqu::engine::device
