// What stands behind a Model: the mapped file, the weights as the forward pass uses them, and the
// compute threads. The tokens of different timelines go through the model in common batches.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "engine/batch_queue.h"
#include "engine/cache/memory_account.h"
#include "engine/chat/chat_template.h"
#include "engine/cpu/isa.h"
#include "engine/cpu/thread_pool.h"
#include "engine/device/split.h"
#include "engine/gguf/file.h"
#include "engine/memory_plan.h"
#include "engine/model.h"
#include "engine/model/config.h"
#include "engine/model/fingerprint.h"
#include "engine/model/weights.h"
#include "engine/prefix_cache.h"
#include "engine/residency/expert_residency.h"

namespace wenqu::engine {

class Runtime {
 public:
  Runtime(const cpu::ThreadPoolOptions& threads, uint64_t prefix_bytes)
      : prefixes(prefix_bytes), pool(threads), queue([this](std::span<const Sequence> batch, const CancelToken& cancel, const BeforeLayer& before_layer) {
          if (gpu) return gpu->forward(batch, cancel);
          Status status;
          pool.lead([&] { status = forward({cpu::kernels(isa), pool, cancel}, config, weights, batch, before_layer); });
          return status;
        }) {}

  std::shared_ptr<const gguf::File> file;
  Config config;
  Weights weights;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat;
  Status chat_status;   // why there is none
  ModelInfo info;
  cpu::Isa isa = cpu::best_isa();
  std::unique_ptr<device::SplitModel> gpu;   // what runs the forward pass; nullptr: the CPU does

  // Made when first asked for.
  std::once_flag fingerprint_once;
  Fingerprint fingerprint{};

  // What sessions hold, and what is left for the experts in memory.
  MemoryPlan memory;
  std::shared_ptr<MemoryAccount> account = std::make_shared<MemoryAccount>();
  std::unique_ptr<ExpertResidency> experts;   // nullptr: all of the weights stay in memory
  uint64_t expert_limit() const { return memory.expert_limit > 0 ? memory.expert_limit : account->left(); }

  mutable PrefixCache prefixes;

  // A forward pass changes nothing else here.
  mutable cpu::ThreadPool pool;
  mutable BatchQueue queue;
};

}  // namespace wenqu::engine
