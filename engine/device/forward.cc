#include "engine/device/forward.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>

#include "engine/cuda/attention.h"
#include "engine/cuda/kernel_list.h"
#include "engine/cuda/products.h"
#include "engine/device/attention.h"
#include "engine/device/batch.h"
#include "engine/device/experts_on_cpu.h"
#include "engine/device/feed_forward.h"
#include "engine/device/memory.h"
#include "engine/device/output.h"
#include "engine/device/recordings.h"
#include "engine/device/scratch.h"
#include "engine/device/weights.h"
#include "engine/device/workplace.h"

namespace wenqu::engine::device {
namespace {

using cuda::Device;

WeightChoice choice_of(const Placement& placement) { return {placement.layers.first, placement.layers.end, placement.on_cpu}; }

std::string fmt_needs(double weights, double scratch, double free) {
  return fmt::format("the model's weights need {:.0f} MiB on the GPU and a batch {:.0f} MiB, which has {:.0f} MiB free: run it on the CPU", weights,
                     scratch, free);
}

}  // namespace

class DeviceModel::Implementation {
 public:
  Implementation(std::shared_ptr<Device> device, const Config& config, Placement placement)
      : device_(std::move(device)), config_(config), placement_(std::move(placement)), batches_(device_, config_, placement_), recordings_(device_) {}

  Status start(const Weights& weights, const CancelToken& cancel);
  Status forward(std::span<const Sequence> sequences, const States& before, const CancelToken& cancel);

  Device& device() { return *device_; }
  const std::shared_ptr<Device>& shared_device() const { return device_; }
  const Batches& batches() const { return batches_; }
  const float* states() const { return scratch_->hidden; }
  ExpertCache* cache() const { return experts_on_cpu_.cache(); }

 private:
  bool is_last() const { return placement_.has_last(config_); }
  Status layers(const Workplace& w, const Batch& batch, const CancelToken& cancel);
  Status run(const Workplace& w, const Batch& batch, const CancelToken& cancel);

  const std::shared_ptr<Device> device_;
  const Config& config_;
  const Placement placement_;
  ExpertsOnCpu experts_on_cpu_;
  DeviceWeights weights_;
  Memory scratch_memory_;
  std::optional<Scratch> scratch_;
  Batches batches_;
  Output output_;
  Recordings recordings_;
};

Status DeviceModel::Implementation::start(const Weights& weights, const CancelToken& cancel) {
  const DeviceNeeds needs = DeviceModel::needs(config_, weights, placement_);
  if (needs.total() > device_->free_bytes()) {
    constexpr double kMiB = 1 << 20;
    return Status(StatusCode::out_of_memory,
                  fmt_needs(static_cast<double>(needs.weights) / kMiB, static_cast<double>(needs.scratch) / kMiB, static_cast<double>(device_->free_bytes()) / kMiB),
                  device_->info().name);
  }
  // Attention that the kernels cannot do is told at once, not at the first question.
  const std::vector<cuda::Place> one(1);
  if (Result<cuda::AttentionPlan> plan = cuda::attention_plan(attention_shape(config_), one, 1, device_->info()); !plan) return plan.status();
  const ops::RouterConfig& router = config_.moe.router;
  if (router.experts > cuda::kMostExperts || router.used > cuda::kMostUsed)
    return Status(StatusCode::unsupported, "more experts than a GPU's router chooses among: run the model on the CPU");
  WENQU_ASSIGN_OR_RETURN(weights_, upload(device_, weights, config_, choice_of(placement_), cancel));
  WENQU_ASSIGN_OR_RETURN(experts_on_cpu_, ExpertsOnCpu::create(device_, config_, weights, placement_));
  Parts counting(nullptr);
  const size_t feed_forward = feed_forward_scratch(config_, weights, placement_, cache() ? cache()->places() : 0);
  const Scratch counted(counting, config_, placement_.batch_tokens, feed_forward, is_last());
  WENQU_ASSIGN_OR_RETURN(scratch_memory_, Memory::allocate(device_, counting.bytes()));
  Parts parts(scratch_memory_.data());
  scratch_.emplace(parts, config_, placement_.batch_tokens, feed_forward, is_last());
  return device_->clear(scratch_->arrived, placement_.batch_tokens * sizeof(uint32_t));
}

Status DeviceModel::Implementation::layers(const Workplace& w, const Batch& batch, const CancelToken& cancel) {
  const LayerRange& own = placement_.layers;
  const auto& layers = weights_.layers;
  if (own.first == 0)
    WENQU_RETURN_IF_ERROR(cuda::embed(*device_, weights_.embedding.stack, weights_.embedding.type, batch.tables.tokens, as_int(batch.tokens), w.scratch.hidden));
  cuda::NormRows first = w.norm_rows(layers[own.first].attention_norm);
  first.delta = nullptr;
  WENQU_RETURN_IF_ERROR(cuda::launch<cuda::RmsNorm>(*device_, {as_unsigned(batch.tokens)}, first));
  for (size_t l = own.first; l < own.end; ++l) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    WENQU_RETURN_IF_ERROR(attention(w, batch, l));
    cuda::NormAfter after;
    if (l + 1 < own.end) after = w.then(layers[l + 1].attention_norm);
    else if (is_last()) after = w.then(weights_.output_norm);
    WENQU_RETURN_IF_ERROR(feed_forward(w, batch, l, after, experts_on_cpu_, cancel));
  }
  // The next layers begin with what these have made of the states.
  if (!is_last()) return w.add(w.scratch.delta, w.scratch.hidden, batch.tokens * config_.embedding);
  // A batch of decoding takes all its logits at once; others take theirs when they are given.
  return batch.rows_at_once() > 0 ? Output::logits(w, batch, 0) : Status();
}

Status DeviceModel::Implementation::run(const Workplace& w, const Batch& batch, const CancelToken& cancel) {
  if (batch.tokens > Recordings::kMostTokens || batch.planned < batch.tokens || experts_on_cpu_.any()) return layers(w, batch, cancel);
  return recordings_.run(batch, batches_.moves(), cancel, [&] { return layers(w, batch, {}); });
}

Status DeviceModel::Implementation::forward(std::span<const Sequence> sequences, const States& before, const CancelToken& cancel) {
  WENQU_ASSIGN_OR_RETURN(const Batch batch, batches_.describe(sequences, *scratch_));
  const Workplace w{*device_, config_, placement_, weights_, *scratch_};
  const size_t state_bytes = batch.tokens * config_.embedding * sizeof(float);
  if (before.host) WENQU_RETURN_IF_ERROR(device_->upload(scratch_->hidden, before.host, state_bytes));
  if (before.device) {
    Implementation& other = *before.device->implementation_;
    WENQU_RETURN_IF_ERROR(device_->receive(scratch_->hidden, other.device(), other.states(), state_bytes));
  }
  WENQU_RETURN_IF_ERROR(run(w, batch, cancel));
  if (!is_last()) return {};
  WENQU_RETURN_IF_ERROR(output_.give(w, batch));
  return device_->synchronize();   // the caches are complete now: other devices' are, when their states have been received
}

DeviceNeeds DeviceModel::needs(const Config& config, const Weights& weights, const Placement& placement) {
  Parts parts(nullptr);
  const size_t cached = placement.expert_cache > 0 ? ExpertsOnCpu::most_cached(config, weights, placement) : 0;
  const Scratch counted(parts, config, placement.batch_tokens, feed_forward_scratch(config, weights, placement, cached), placement.has_last(config));
  return {device_weight_bytes(weights, config, choice_of(placement)), parts.bytes(), counted.partial_numbers * sizeof(float)};
}

size_t DeviceModel::layer_bytes(const Config& config, const Weights& weights, size_t layer, size_t on_cpu) {
  return device_layer_bytes(weights, config, layer, on_cpu);
}

Result<std::unique_ptr<DeviceModel>> DeviceModel::create(std::shared_ptr<Device> device, const Config& config, const Weights& weights,
                                                         Placement placement, const CancelToken& cancel) {
  auto implementation = std::make_unique<Implementation>(std::move(device), config, std::move(placement));
  WENQU_RETURN_IF_ERROR(implementation->start(weights, cancel));
  return std::unique_ptr<DeviceModel>(new DeviceModel(std::move(implementation)));
}

DeviceModel::DeviceModel(std::unique_ptr<Implementation> implementation) : implementation_(std::move(implementation)) {}
DeviceModel::~DeviceModel() = default;

void DeviceModel::put_in_order(std::vector<Sequence>& batch) const { implementation_->batches().put_expanded_last(batch); }
Status DeviceModel::keep_up(size_t tokens) { return implementation_->cache() ? implementation_->cache()->keep_up(tokens) : Status(); }
DeviceModel::ExpertsUsed DeviceModel::experts_used() const {
  const ExpertCache* const cache = implementation_->cache();
  return cache ? ExpertsUsed{cache->hits(), cache->misses()} : ExpertsUsed{};
}

const std::shared_ptr<Device>& DeviceModel::device() const { return implementation_->shared_device(); }

double DeviceModel::copy_bandwidth() const {
  constexpr size_t kBytes = size_t{256} << 20;   // more than any cache holds
  constexpr int kRounds = 10;
  Device& device = implementation_->device();
  Result<Memory> from = Memory::allocate(implementation_->shared_device(), kBytes), to = Memory::allocate(implementation_->shared_device(), kBytes);
  if (!from || !to || !device.clear(from->data(), kBytes) || !device.copy(to->data(), from->data(), kBytes) || !device.synchronize()) return 0;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i)
    if (!device.copy(to->data(), from->data(), kBytes)) return 0;
  if (!device.synchronize()) return 0;
  return 2.0 * kRounds * kBytes / std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Status DeviceModel::forward(std::span<const Sequence> batch, const States& before, const CancelToken& cancel) {
  return implementation_->forward(batch, before, cancel);
}

}  // namespace wenqu::engine::device
