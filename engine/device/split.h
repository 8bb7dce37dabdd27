// A model divided by its layers: the first ones may stay with the CPU, the others go to devices, one after the other. What
// passes over are the states of a batch's tokens; each has the keys and values of its own layers.
//
// Thread safety: all members from any thread; one batch runs at a time.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "engine/device/forward.h"
#include "engine/device/segments.h"

namespace wenqu::engine::device {

// Computes a model's first layers on the CPU. states: [tokens][embedding], in the order of the batch.
using CpuLayers = std::function<Status(std::span<const Sequence> batch, size_t layers, std::vector<float>& states, const CancelToken& cancel)>;

struct Split {
  struct Share {
    std::shared_ptr<cuda::Device> device;
    LayerRange layers;
    uint64_t expert_cache = 0;       // bytes for routed experts that stay with the CPU
  };
  std::vector<Share> shares;         // at least one, each with the layers behind those of the one before; the last has the model's last
  size_t batch_tokens = kMaxBatch;   // at most
  size_t on_cpu = 0;                 // layers of the model whose routed experts stay with the CPU: the first that have any
  CpuExperts cpu_experts;            // who computes them,
  CpuLayers cpu_layers;              // and the layers before the first share's
};

class SplitModel {
 public:
  // Uploads the weights, which must outlive the model only until this returns, but for what stays with the CPU; the config must
  // outlive it. Errors: those of DeviceModel::create().
  static Result<std::unique_ptr<SplitModel>> create(const Config& config, const Weights& weights, Split split, const CancelToken& cancel);

  // Of the devices, in order.
  std::string name() const;
  // For the KV caches of the sequences.
  const std::shared_ptr<DeviceSegments>& segment_memory() const { return segments_; }
  // As DeviceModel::copy_bandwidth(), of the first device.
  double copy_bandwidth() const;

  // Of all devices.
  DeviceModel::ExpertsUsed experts_used() const;

  // As engine::forward(), with as many tokens as the split says.
  Status forward(std::span<const Sequence> sequences, const CancelToken& cancel);

 private:
  explicit SplitModel(Split split);

  const Split split_;
  const std::shared_ptr<std::mutex> mutex_ = std::make_shared<std::mutex>();   // over the devices and what follows
  std::vector<std::unique_ptr<DeviceModel>> parts_;
  std::shared_ptr<DeviceSegments> segments_;
  std::vector<float> states_;   // behind the CPU's layers
};

}  // namespace wenqu::engine::device
