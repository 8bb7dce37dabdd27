// Where a model's layers go: to devices as far as their memory reaches, and what is left to the CPU. What of a mixture does
// not fit are the routed experts of as few layers as possible, which a token uses little of; then whole layers. The first
// ones stay with the CPU, so that the output and the choice of tokens are on a device.
//
// Thread safety: pure functions, but for asking devices and the system what is free.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/device/forward.h"

namespace wenqu::engine::device {

struct PlacementWish {
  int gpu_layers = -1;           // so many of the last layers to devices; -1: as many as fit
  int cpu_experts = -1;          // the routed experts of so many layers to the CPU; -1: of as few as must
  uint64_t kv_layer_bytes = 0;   // keys and values of the context, of a layer
};

// What a device gets, or the CPU.
struct PlacedShare {
  std::string name;
  LayerRange layers;
  size_t cpu_experts = 0;        // of its layers, those whose routed experts stay with the CPU
  uint64_t weights = 0, kv_cache = 0, scratch = 0;   // bytes; KV cache for the context
  uint64_t expert_cache = 0;     // of what is left, for experts that stay with the CPU
  uint64_t room = 0;             // bytes that may be used
  uint64_t needed() const { return weights + kv_cache + scratch; }
};

struct PlacementPlan {
  std::vector<PlacedShare> devices;      // those that get layers,
  std::vector<size_t> chosen;            // which of those given they are
  PlacedShare cpu;                       // its layers are the first ones; weights: as they lie in the file, of experts too
  uint64_t cpu_expert_bytes = 0;         // of these
  size_t on_cpu = 0;                     // Placement::on_cpu
  size_t batch_tokens = kMaxBatch;
};

// rooms: bytes that each device may use. Errors: out_of_memory with figures, when not even the wish's layers, or one,
// fit.
Result<PlacementPlan> plan_placement(const Config& config, const Weights& weights, std::span<const PlacedShare> rooms, const PlacementWish& wish);

}  // namespace wenqu::engine::device
