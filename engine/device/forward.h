// A model on a device: its weights, the memory its batches need, and the forward pass of engine/model/forward.h as a
// sequence of kernels. A batch of decoding, the same again and again, is recorded once and launched whole.
//
// Differences from the CPU's: MLA is absorbed always; activations are rounded to 8 bits in blocks of 32 for every
// quantized type; attention's queries, keys and probabilities are half floats.
//
// Thread safety: all members from any thread; one forward pass runs at a time.
#pragma once

#include <memory>
#include <span>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/cache/segment_memory.h"
#include "engine/cuda/device.h"
#include "engine/model/config.h"
#include "engine/model/forward.h"
#include "engine/model/weights.h"

namespace wenqu::engine::device {

struct DeviceNeeds {
  size_t weights = 0;    // bytes
  size_t scratch = 0;    // of a batch
  size_t total() const { return weights + scratch; }
};

class DeviceModel {
 public:
  // Of a model whose batches have at most so many tokens.
  static DeviceNeeds needs(const Config& config, const Weights& weights, size_t batch_tokens);

  // Uploads the weights, which must outlive the model only until this returns; the config must outlive it. Errors:
  // out_of_memory with figures, unsupported, cancelled, those of the device.
  static Result<std::unique_ptr<DeviceModel>> create(std::shared_ptr<cuda::Device> device, const Config& config, const Weights& weights,
                                                     size_t batch_tokens, const CancelToken& cancel);
  ~DeviceModel();

  const cuda::DeviceInfo& info() const;
  // For the KV caches of the sequences.
  std::shared_ptr<SegmentMemory> segment_memory() const;
  // Of the device's memory, what nobody has.
  size_t free_bytes() const;

  // Bytes a second that the device reads and writes when it copies within its memory: measured at each call. 0: unknown.
  double copy_bandwidth() const;

  // As engine::forward(). The sequences' caches lie in segment_memory().
  Status forward(std::span<const Sequence> batch, const CancelToken& cancel);

 private:
  class Implementation;
  explicit DeviceModel(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace wenqu::engine::device
