#include "engine/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/system_memory.h"

namespace wenqu::engine {
namespace {

uint64_t of_experts(const Matrix& matrix, uint64_t experts) { return matrix.outputs * matrix.row_bytes * experts; }

// What a batch of so many tokens wants of a layer, at most.
uint64_t wanted_experts(const MemoryNeeds& needs, size_t tokens) {
  return std::min(needs.largest_layer, tokens * needs.experts_used * needs.largest_expert);
}

// The least that works with experts read on demand, for a batch of so many tokens.
uint64_t on_demand(const MemoryNeeds& needs, size_t tokens) {
  return needs.weights + needs.kv_cache + needs.logits + needs.scratch(tokens) + wanted_experts(needs, tokens);
}

std::string mib(uint64_t bytes) { return fmt::format("{:.1f}", static_cast<double>(bytes) / (1 << 20)); }

}  // namespace

MemoryNeeds memory_needs(const gguf::File& file, const Config& config, const Weights& weights, const LoadOptions& options, int threads) {
  MemoryNeeds needs;
  const uint64_t experts = config.moe.router.experts;
  for (const Layer* layer : weights.mixtures()) {
    const uint64_t one = of_experts(layer->expert_gate, 1) + of_experts(layer->expert_up, 1) + of_experts(layer->expert_down, 1);
    needs.experts += one * experts;
    needs.largest_layer = std::max(needs.largest_layer, one * experts);
    needs.largest_expert = std::max(needs.largest_expert, one);
  }
  needs.experts_used = config.moe.router.used;
  needs.can_be_read_again = !file.path().empty() && options.repack != Repack::always;
  uint64_t all = 0;
  for (const gguf::Tensor& tensor : file.tensors()) all += tensor.bytes;
  needs.weights = all - std::min(all, needs.experts) + weights.derived_bytes();
  const uint64_t tokens = std::min<uint64_t>(options.context_tokens, config.context);
  const uint64_t segments = (tokens + KvCache::kSegmentTokens - 1) / KvCache::kSegmentTokens;
  needs.context_tokens = tokens;
  needs.kv_cache = kv_shape(config, options.kv_type).bytes_per_token() * segments * KvCache::kSegmentTokens;
  needs.logits = session_logits_bytes(config);
  needs.prefix_cache = options.prefix_cache_bytes;
  needs.scratch = [config, threads, tokens](size_t batch) {
    const auto bytes = [&](size_t most) { return scratch_bytes(config, std::min<uint64_t>(most, tokens), static_cast<size_t>(threads)); };
    return bytes(batch) + bytes(std::min(batch, kMaxUrgent));
  };
  return needs;
}

MemoryEstimate memory_estimate(const MemoryNeeds& needs, uint64_t context_tokens) {
  MemoryEstimate estimate;
  estimate.weights = needs.weights + needs.experts;
  estimate.kv_cache = needs.kv_cache;
  estimate.scratch = needs.scratch(kMaxBatch) + needs.logits;
  estimate.prefix_cache = needs.prefix_cache;
  estimate.context_tokens = std::min(context_tokens, needs.context_tokens);
  estimate.least = estimate.total() - estimate.prefix_cache;
  if (needs.experts > 0 && needs.can_be_read_again) estimate.least = on_demand(needs, 1);
  return estimate;
}

Result<MemoryPlan> plan_memory(const MemoryNeeds& needs, const LoadOptions& options) {
  const uint64_t budget = options.memory_budget ? options.memory_budget : available_memory();
  const MemoryEstimate estimate = memory_estimate(needs, options.context_tokens);
  const uint64_t all = estimate.total() - estimate.prefix_cache;
  MemoryPlan plan;
  plan.weights = estimate.weights;
  plan.scratch = needs.scratch(kMaxBatch);
  plan.prefix_cache = needs.prefix_cache;
  if (budget == 0 || all <= budget) {
    if (!options.memory_budget) return plan;
    plan.budget = budget;
    plan.shared = budget - plan.weights - plan.scratch;
    plan.prefix_cache = std::min(plan.prefix_cache, plan.shared);
    return plan;
  }
  if (estimate.least <= budget) {
    plan.budget = budget;
    plan.on_demand = true;
    while (on_demand(needs, plan.batch_tokens) > budget) plan.batch_tokens /= 2;
    plan.weights = needs.weights;
    plan.scratch = needs.scratch(plan.batch_tokens);
    plan.shared = budget - plan.weights - plan.scratch;
    plan.experts = wanted_experts(needs, plan.batch_tokens);
    // Beginnings that are not read again save experts that are not read again; but most of what is left is theirs.
    plan.prefix_cache = std::min(plan.prefix_cache, (plan.shared - plan.experts) / 4);
    return plan;
  }
  const std::string instead = needs.experts > 0 && options.repack == Repack::always ? "; without repacked weights, experts could be read on demand"
                              : needs.experts > 0 && needs.can_be_read_again
                                  ? fmt::format("; with experts read on demand, {} MiB would be enough", mib(estimate.least))
                                  : "";
  return Status(StatusCode::out_of_memory,
                fmt::format("needs {} MiB (weights {}, KV cache of {} tokens {}, scratch {}), but {} {} MiB{}: use a smaller or more strongly "
                            "quantized model{}",
                            mib(all), mib(estimate.weights), options.context_tokens, mib(estimate.kv_cache), mib(estimate.scratch),
                            options.memory_budget ? "the budget is" : "the system has", mib(budget), instead,
                            options.memory_budget ? ", or raise the budget" : ""));
}

}  // namespace wenqu::engine
