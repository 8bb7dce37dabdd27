// How a budget of memory is divided: what every token needs of the weights, what a batch needs while it runs, what
// sessions may hold, and what is left for a mixture's experts.
#pragma once

#include <cstdint>
#include <functional>

#include "base/status.h"
#include "engine/gguf/file.h"
#include "engine/model.h"
#include "engine/model/config.h"
#include "engine/model/forward.h"
#include "engine/model/weights.h"

namespace wenqu::engine {

struct MemoryNeeds {
  uint64_t weights = 0;         // but for routed experts; what was derived among them
  uint64_t experts = 0;         // all of them
  uint64_t largest_layer = 0;   // of experts
  uint64_t largest_expert = 0;
  uint32_t experts_used = 0;    // by a token, in a layer
  bool can_be_read_again = false;   // the weights stay in a mapped file
  uint64_t context_tokens = 0;  // asked for, or what the model has if that is less
  uint64_t kv_cache = 0;        // of these
  uint64_t logits = 0;          // of one session
  uint64_t prefix_cache = 0;    // at most
  std::function<uint64_t(size_t tokens)> scratch;   // of a batch, and of one between its layers
};

struct MemoryPlan {
  uint64_t budget = 0;              // 0: none was stated, and all fits into what the system has
  bool on_demand = false;           // experts are read when they are wanted
  size_t batch_tokens = kMaxBatch;  // so that what a batch wants of a layer fits
  uint64_t weights = 0;             // that stay in memory
  uint64_t scratch = 0;
  uint64_t shared = 0;              // for sessions, and for experts on demand
  uint64_t experts = 0;             // of it, what sessions cannot have
  uint64_t expert_limit = 0;        // bytes for experts on demand; 0: what sessions leave
  uint64_t prefix_cache = 0;        // at most; it gives way to sessions
};

MemoryNeeds memory_needs(const gguf::File& file, const Config& config, const Weights& weights, const LoadOptions& options, int threads);
MemoryEstimate memory_estimate(const MemoryNeeds& needs, uint64_t context_tokens);
// Errors: out_of_memory with figures.
Result<MemoryPlan> plan_memory(const MemoryNeeds& needs, const LoadOptions& options);

}  // namespace wenqu::engine
