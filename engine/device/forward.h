// Layers of a model on a device: their weights, the memory that batches need, and the forward pass of
// engine/model/forward.h as a sequence of kernels. A batch of decoding, the same again and again, is recorded once and
// launched whole. split.h makes whole models of these.
//
// Differences from the CPU's: what form MLA takes is decided by operations, not by times; activations are rounded to 8 bits in blocks of 32 for every
// quantized type; attention's queries, keys and probabilities are half floats.
//
// Thread safety: one thread at a time; whoever has several devices runs one batch after the other through all of them.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/cuda/device.h"
#include "engine/model/config.h"
#include "engine/model/forward.h"
#include "engine/model/weights.h"
#include "engine/ops/router.h"

namespace wenqu::engine::device {

// What a layer's routed experts add to the tokens' states, computed on the CPU. normed: [tokens][embedding]; choices:
// [tokens][used]; delta: [tokens][embedding], added to. Called by the thread that runs the forward pass.
using CpuExperts = std::function<Status(size_t layer, std::span<const float> normed, std::span<const ops::ExpertChoice> choices,
                                        std::span<float> delta, const CancelToken& cancel)>;

// Layers that follow each other, from `first` to before `end`.
struct LayerRange {
  size_t first = 0, end = 0;
  size_t count() const { return end - first; }
  bool operator==(const LayerRange&) const = default;
};

struct Placement {
  LayerRange layers;                 // that the device computes; the first one has the embedding too, the last one the output
  size_t share = 0;                  // whose pages are these: see DeviceSegments
  size_t batch_tokens = kMaxBatch;   // at most
  size_t on_cpu = 0;                 // layers of the model whose routed experts stay with the CPU: the first that have any
  CpuExperts cpu_experts;            // who computes them
  uint64_t expert_cache = 0;         // bytes on the device for those of them that are used most
  bool has_last(const Config& config) const { return layers.end == config.layers; }
};

struct DeviceNeeds {
  size_t weights = 0;    // bytes
  size_t scratch = 0;    // of a batch
  size_t partials = 0;   // of it, attention's partial sums
  size_t total() const { return weights + scratch; }
};

class DeviceModel {
 public:
  static DeviceNeeds needs(const Config& config, const Weights& weights, const Placement& placement);
  // Bytes of one layer's weights.
  static size_t layer_bytes(const Config& config, const Weights& weights, size_t layer, size_t on_cpu);

  // Uploads the weights, which must outlive the model only until this returns; the config must outlive it. Errors:
  // out_of_memory with figures, unsupported, cancelled, those of the device.
  static Result<std::unique_ptr<DeviceModel>> create(std::shared_ptr<cuda::Device> device, const Config& config, const Weights& weights,
                                                     Placement placement, const CancelToken& cancel);
  ~DeviceModel();

  const std::shared_ptr<cuda::Device>& device() const;

  // Bytes a second that the device reads and writes when it copies within its memory: measured at each call. 0: unknown.
  double copy_bandwidth() const;

  // The states of a batch's tokens behind the layers of others: [tokens][embedding], in the order of put_in_order().
  struct States {
    const float* host = nullptr;          // in the host's memory,
    const DeviceModel* device = nullptr;  // or where that device has left them; neither: there are no layers before
  };
  // As engine::forward(), with as many tokens as the placement says; all but the last layers leave their states for the
  // next ones. The sequences' caches lie in DeviceSegments and are held there.
  Status forward(std::span<const Sequence> batch, const States& before, const CancelToken& cancel);
  // Puts a batch's sequences in the order in which the device computes them: those whose latents are expanded stand last.
  void put_in_order(std::vector<Sequence>& batch) const;
  // Behind a batch of so many tokens: brings routed experts onto the device that were used more than others there.
  Status keep_up(size_t tokens);
  // Choices of routed experts that stay with the CPU, so far: that the device computed, and that the CPU did.
  struct ExpertsUsed { uint64_t here = 0, there = 0; };
  ExpertsUsed experts_used() const;

 private:
  class Implementation;
  explicit DeviceModel(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace wenqu::engine::device
