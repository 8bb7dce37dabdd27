// A model's weights on a device: matrices as engine/cuda/layout.h lays them, vectors as floats.
#pragma once

#include <memory>
#include <vector>

#include "base/cancel.h"
#include "engine/cuda/products.h"
#include "engine/device/memory.h"
#include "engine/model/config.h"
#include "engine/model/weights.h"

namespace wenqu::engine::device {

struct DeviceMatrix {
  cuda::Stack stack;               // data nullptr: the model has none
  gguf::Type type = gguf::Type::f32;
  explicit operator bool() const { return stack.data != nullptr; }
};

// As engine/model/weights.h has them. Vectors are nullptr where the model has none.
struct DeviceLayer {
  const float *attention_norm = nullptr, *ffn_norm = nullptr;
  DeviceMatrix q, k, v;
  const float *q_bias = nullptr, *k_bias = nullptr, *v_bias = nullptr, *q_norm = nullptr, *k_norm = nullptr;
  DeviceMatrix q_a, q_b, kv_a, k_b, v_b;
  const float *q_a_norm = nullptr, *kv_a_norm = nullptr;
  DeviceMatrix attention_output;
  DeviceMatrix gate, up, down;
  bool is_moe = false;
  DeviceMatrix router;
  const float* router_bias = nullptr;
  DeviceMatrix expert_gate, expert_up, expert_down;
};

struct DeviceWeights {
  DeviceMatrix embedding, output;
  const float* output_norm = nullptr;
  std::vector<DeviceLayer> layers;
  Memory memory;   // all of them
};

// What of a model's weights goes to a device: these layers, with the first of all the embedding, with the last the output.
// The routed experts of the model's first `on_cpu` layers that have any stay with the CPU.
struct WeightChoice {
  size_t first_layer = 0, end_layer = 0;
  size_t on_cpu = 0;
};

// Bytes that upload() will need.
size_t device_weight_bytes(const Weights& weights, const Config& config, const WeightChoice& choice);
size_t device_layer_bytes(const Weights& weights, const Config& config, size_t layer, size_t on_cpu);

// Matrix `index` of a stack, laid out at `place`, some rows at a time in `piece`. Errors: cancelled, those of the device.
Status upload_matrix(cuda::Device& device, const Matrix& from, size_t index, std::byte* place, std::vector<std::byte>& piece, const CancelToken& cancel);

// Errors: out_of_memory with what is left and what is needed; cancelled.
Result<DeviceWeights> upload(const std::shared_ptr<cuda::Device>& device, const Weights& weights, const Config& config, const WeightChoice& choice,
                             const CancelToken& cancel);

}  // namespace wenqu::engine::device
