#include "engine/device/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace wenqu::engine::device {
namespace {

uint64_t mib(uint64_t bytes) { return (bytes + (1 << 20) - 1) >> 20; }

uint64_t file_bytes(const Matrix& matrix, size_t count) { return matrix ? uint64_t{matrix.outputs} * matrix.row_bytes * count : 0; }

uint64_t expert_bytes(const Layer& layer, size_t experts) {
  return file_bytes(layer.expert_gate, experts) + file_bytes(layer.expert_up, experts) + file_bytes(layer.expert_down, experts);
}

// A layer as it lies in the file, but for its norms, which are small.
uint64_t layer_file_bytes(const Layer& layer, const Config& config) {
  uint64_t bytes = expert_bytes(layer, config.moe.router.experts);
  for (const Matrix* matrix : {&layer.q, &layer.k, &layer.v, &layer.q_a, &layer.q_b, &layer.kv_a, &layer.attention_output, &layer.gate, &layer.up, &layer.down,
                               &layer.router})
    bytes += file_bytes(*matrix, 1);
  return bytes + file_bytes(layer.k_b, config.heads) + file_bytes(layer.v_b, config.heads);
}

class Planner {
 public:
  Planner(const Config& config, const Weights& weights, std::span<const PlacedShare> rooms, const PlacementWish& wish)
      : config_(config), weights_(weights), rooms_(rooms), wish_(wish) {}

  Result<PlacementPlan> plan() {
    const size_t layers = weights_.layers.size(), mixtures = weights_.mixtures().size();
    cpu_layers_ = wish_.gpu_layers < 0 ? 0 : layers - std::min(layers, static_cast<size_t>(wish_.gpu_layers));
    on_cpu_ = wish_.cpu_experts < 0 ? 0 : std::min(mixtures, static_cast<size_t>(wish_.cpu_experts));
    std::optional<std::vector<LayerRange>> ranges;
    while (!(ranges = divide(1))) {
      if (wish_.cpu_experts < 0 && on_cpu_ < mixtures) ++on_cpu_;
      else if (wish_.gpu_layers < 0 && cpu_layers_ + 1 < layers) ++cpu_layers_;
      else return refused();
    }
    // Larger pieces of a prompt keep a GPU busier; what they are computed in must stay a small part of its memory.
    for (size_t tokens = kMaxBatch * 4; tokens > kMaxBatch && cpu_layers_ == 0; tokens /= 2) {
      batch_tokens_ = tokens;
      if (const auto larger = divide(1); larger && is_small_beside_the_room(*larger)) break;
      batch_tokens_ = kMaxBatch;
    }
    // All devices filled to the same share.
    double low = 0, high = 1;
    for (int i = 0; i < 40 && rooms_.size() > 1; ++i) {
      const double middle = (low + high) / 2;
      (divide(middle) ? high : low) = middle;
    }
    return describe(*divide(high));
  }

 private:
  bool is_small_beside_the_room(const std::vector<LayerRange>& ranges) const {
    for (size_t d = 0; d < ranges.size(); ++d) {
      if (ranges[d].count() == 0) continue;
      const DeviceNeeds own = needs(ranges[d]);
      if (own.scratch - own.partials > rooms_[d].room / 128) return false;   // partial sums do not grow with a batch
    }
    return true;
  }
  DeviceNeeds needs(const LayerRange& range) const {
    Placement placement;
    placement.layers = range, placement.batch_tokens = batch_tokens_, placement.on_cpu = on_cpu_;
    return DeviceModel::needs(config_, weights_, placement);
  }
  uint64_t needed(const LayerRange& range) const { return range.count() == 0 ? 0 : needs(range).total() + wish_.kv_layer_bytes * range.count(); }

  // Fills one device after the other up to a share of its room; nullopt: that is too little.
  std::optional<std::vector<LayerRange>> divide(double share) const {
    const size_t layers = weights_.layers.size();
    std::vector<LayerRange> ranges;
    size_t next = cpu_layers_;
    for (const PlacedShare& device : rooms_) {
      LayerRange range{next, next};
      const auto fits = [&](size_t end) { return static_cast<double>(needed({next, end})) <= share * static_cast<double>(device.room); };
      // The most layers: what is needed grows with them, but that the last ones bring the output.
      if (fits(layers)) {
        range.end = layers;
      } else {
        size_t least = next, most = layers - 1;
        while (least < most) {
          const size_t middle = (least + most + 1) / 2;
          if (fits(middle)) least = middle;
          else most = middle - 1;
        }
        range.end = least;
      }
      next = range.end;
      ranges.push_back(range);
    }
    if (next < layers || cpu_layers_ == layers) return std::nullopt;
    return ranges;
  }

  PlacementPlan describe(const std::vector<LayerRange>& ranges) const {
    PlacementPlan plan;
    plan.on_cpu = on_cpu_, plan.batch_tokens = batch_tokens_;
    for (size_t d = 0; d < ranges.size(); ++d) {
      if (ranges[d].count() == 0) continue;
      PlacedShare share = rooms_[d];
      const DeviceNeeds own = needs(ranges[d]);
      share.layers = ranges[d];
      share.weights = own.weights, share.scratch = own.scratch, share.kv_cache = wish_.kv_layer_bytes * ranges[d].count();
      for (size_t l = ranges[d].first; l < ranges[d].end; ++l) share.cpu_experts += stays(l) ? 1 : 0;
      // Half of what is left, the other is sessions'.
      if (share.cpu_experts > 0) share.expert_cache = (share.room - share.needed()) / 2;
      plan.devices.push_back(share);
      plan.chosen.push_back(d);
    }
    PlacedShare& cpu = plan.cpu;
    cpu.name = "CPU";
    cpu.layers = {0, cpu_layers_};
    cpu.kv_cache = wish_.kv_layer_bytes * cpu_layers_;
    const size_t experts = config_.moe.router.experts;
    for (size_t l = 0; l < weights_.layers.size(); ++l) {
      const Layer& layer = weights_.layers[l];
      if (l < cpu_layers_) cpu.weights += layer_file_bytes(layer, config_);
      else if (stays(l)) cpu.weights += expert_bytes(layer, experts), ++cpu.cpu_experts;
      if (layer.is_moe && (l < cpu_layers_ || stays(l))) plan.cpu_expert_bytes += expert_bytes(layer, experts);
    }
    if (cpu_layers_ > 0) cpu.weights += file_bytes(weights_.embedding, 1);
    return plan;
  }
  // Whether a device's layer has its routed experts with the CPU.
  bool stays(size_t l) const { return l >= cpu_layers_ && weights_.layers[l].is_moe && weights_.layers[l].mixture < on_cpu_; }

  Status refused() const {
    const LayerRange all{cpu_layers_, weights_.layers.size()};
    const DeviceNeeds least = needs(all);
    uint64_t room = 0;
    for (const PlacedShare& device : rooms_) room += device.room;
    const uint64_t kv = wish_.kv_layer_bytes * all.count();
    return Status(StatusCode::out_of_memory,
                  fmt::format("{} of {} layers need {} MiB on {} (weights{} {}, KV cache {}, scratch {}), of which {} MiB can be had: use fewer layers "
                              "there, a smaller context or a more strongly quantized model",
                              all.count(), all.end, mib(least.total() + kv), rooms_.size() == 1 ? "the GPU" : "the GPUs", on_cpu_ > 0 ? " but for routed experts" : "",
                              mib(least.weights), mib(kv), mib(least.scratch), mib(room)),
                  rooms_.size() == 1 ? rooms_[0].name : "");
  }

  const Config& config_;
  const Weights& weights_;
  const std::span<const PlacedShare> rooms_;
  const PlacementWish& wish_;
  size_t cpu_layers_ = 0, on_cpu_ = 0, batch_tokens_ = kMaxBatch;
};

}  // namespace

Result<PlacementPlan> plan_placement(const Config& config, const Weights& weights, std::span<const PlacedShare> rooms, const PlacementWish& wish) {
  return Planner(config, weights, rooms, wish).plan();
}

}  // namespace wenqu::engine::device
