// A model on a device: its weights, the memory its batches need, and the forward pass of engine/model/forward.h as a
// sequence of kernels. A batch of decoding, the same again and again, is recorded once and launched whole.
//
// Differences from the CPU's: what form MLA takes is decided by operations, not by times; activations are rounded to 8 bits in blocks of 32 for every
// quantized type; attention's queries, keys and probabilities are half floats.
//
// Thread safety: all members from any thread; one forward pass runs at a time.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/cache/segment_memory.h"
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

struct Placement {
  size_t batch_tokens = kMaxBatch;   // at most
  size_t on_cpu = 0;                 // layers whose routed experts stay with the CPU: the first that have any
  CpuExperts cpu_experts;            // who computes them
};

struct DeviceNeeds {
  size_t weights = 0;    // bytes
  size_t scratch = 0;    // of a batch
  size_t total() const { return weights + scratch; }
};

class DeviceModel {
 public:
  static DeviceNeeds needs(const Config& config, const Weights& weights, const Placement& placement);

  // Uploads the weights, which must outlive the model only until this returns; the config must outlive it. Errors:
  // out_of_memory with figures, unsupported, cancelled, those of the device.
  static Result<std::unique_ptr<DeviceModel>> create(std::shared_ptr<cuda::Device> device, const Config& config, const Weights& weights,
                                                     Placement placement, const CancelToken& cancel);
  ~DeviceModel();

  const cuda::DeviceInfo& info() const;
  // For the KV caches of the sequences.
  std::shared_ptr<SegmentMemory> segment_memory() const;
  // Of the device's memory, what nobody has.
  size_t free_bytes() const;

  // Bytes a second that the device reads and writes when it copies within its memory: measured at each call. 0: unknown.
  double copy_bandwidth() const;

  // As engine::forward(), with as many tokens as the placement says. The sequences' caches lie in segment_memory().
  Status forward(std::span<const Sequence> batch, const CancelToken& cancel);

 private:
  class Implementation;
  explicit DeviceModel(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace wenqu::engine::device
