// A loaded model: weights, tokenizer and facts, immutable and shared by any number of timelines.
//
// Thread safety: all members from any thread. Weights are mapped read-only and shared with every
// other process that maps the same file.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "base/sha256.h"
#include "base/status.h"
#include "engine/cache/kv_type.h"
#include "engine/chat/chat_template.h"
#include "engine/residency/expert_use.h"
#include "engine/tokenizer/tokenizer.h"

namespace wenqu::engine {

namespace cuda {
class Device;
}

// Whether, on the CPU, weights are copied out of the mapped file when the model is loaded, into large pages, and arranged for
// the kernels. Answers mostly come faster and stay the same to the last bit; loading takes longer, and the memory is this
// process's own: it is not shared with other processes, and the system cannot take it back as it can a mapped file's.
enum class Repack : uint8_t {
  never,
  always,
  when_ample,   // where the copy takes half at most of the memory budget or, without one, of what the system has free
};

struct LoadOptions {
  std::string device = "cpu";   // or "cuda", "cuda:1", "cuda:0,1", "cuda:all", "auto": see engine/device/choose.h
  std::vector<std::shared_ptr<cuda::Device>> open_devices;   // instead: some that are open already
  // On GPUs: so many of the last layers are computed there, the others on the CPU; -1: all, or as many as fit.
  int gpu_layers = -1;
  // And of so many layers the routed experts stay with the CPU; -1: of as few as the memory asks for.
  int cpu_experts = -1;
  int threads = 0;              // compute threads; 0: one per core this process may use
  int nice = 0;                 // how far the compute threads step back for others: 0 (not at all) to 19
  // On GPUs: bytes of the memory of each, for weights, sessions and scratch.
  // Else: bytes for weights, the KV caches of all timelines, the prefix cache and scratch; 0: what the system has free. A
  // mixture of experts that does not fit as a whole is run all the same: experts are kept by use, and the others are
  // read when they are wanted.
  uint64_t memory_budget = 0;
  Repack repack = Repack::never;
  uint64_t context_tokens = 4096;  // the KV cache of this many tokens must fit at least,
  KvType kv_type = KvType::f16;    // kept as this
  uint64_t prefix_cache_bytes = 256 << 20;   // for beginnings that timelines share, at most; it gives way to timelines
  // Routing by groups: only experts of the `expert_groups_used` best of `expert_groups` may be chosen. 0: as
  // the file says or, where it is silent, as DeepSeek's models were trained.
  uint32_t expert_groups = 0, expert_groups_used = 0;
  std::string chat_template;    // a name of chat_template_name(); empty: detect
  // Called with 0 first and 1 last, from the loading thread; returning false stops with `cancelled`.
  std::function<bool(double fraction)> progress;
};

struct MemoryEstimate {
  uint64_t weights = 0;    // mapped from the file, and derived from it
  uint64_t kv_cache = 0;   // for context_tokens
  uint64_t scratch = 0;
  uint64_t prefix_cache = 0;   // at most; less where memory is short
  uint64_t context_tokens = 0;   // asked for, or what the model has if that is less
  uint64_t least = 0;      // budget that is enough: without a prefix cache, and with experts read on demand
  uint64_t total() const { return weights + kv_cache + scratch + prefix_cache; }
};

// What a loaded model holds of its budget at the moment.
struct MemoryUse {
  uint64_t budget = 0;          // 0: none
  uint64_t weights = 0;         // that stay in memory
  uint64_t scratch = 0;         // for the batch that runs, and one between its layers
  uint64_t sessions = 0;        // KV caches and logits of the timelines, and what only the prefix cache has
  uint64_t sessions_limit = 0;  // of it; 0: what the system has
  uint64_t prefix_cache = 0;    // what timelines have too among it
  bool on_demand = false;       // experts are read when they are wanted,
  uint64_t experts_limit = 0;   // may come to so many bytes now,
  ExpertUse experts;            // and were used so since the model was loaded
};

// What one GPU has of a model, or the CPU beside it.
struct PlaceOfLayers {
  std::string name;
  uint32_t first_layer = 0, layers = 0;
  uint32_t cpu_experts = 0;    // of these: those whose routed experts the CPU has. Of the CPU: those that it has the experts of
  uint64_t weights = 0, kv_cache = 0, scratch = 0;   // bytes; KV cache for the context asked for
  uint64_t expert_cache = 0;   // of a GPU: for those of the CPU's experts that are used most
  uint64_t room = 0;           // that there are for them; 0: not known
};

struct ModelInfo {
  std::string path;
  std::string name;            // general.name
  uint64_t repacked_bytes = 0; // weights in memory of the process's own; 0: they are mapped
  std::string architecture;    // general.architecture: "deepseek2", "qwen2" ...
  std::string types;           // tensor types with their share of the bytes, largest first
  std::string chat_template;   // name, or empty when none was recognised
  std::string chat_problem;    // why there is none
  bool thinks = false;         // between <think> and </think>
  std::string pre_tokenizer;
  uint64_t parameters = 0;
  uint64_t active_parameters = 0;   // used for one token
  uint64_t file_bytes = 0;
  uint64_t active_bytes = 0;        // of weights read for one decoded token
  uint64_t active_expert_bytes = 0; // of these: of routed experts
  uint64_t kv_bytes_per_token = 0;  // of LoadOptions::kv_type
  uint32_t layers = 0;
  uint32_t next_token_layers = 0;   // multi-token prediction, behind the layers
  uint32_t embedding = 0;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t latent = 0;              // of MLA's keys and values; 0: grouped-query attention
  uint32_t rotated = 0;             // rotated numbers beside the latent
  uint32_t experts = 0;             // routed; 0: none
  uint32_t experts_used = 0, experts_shared = 0, expert_groups = 0, expert_groups_used = 0;
  bool sigmoid_router = false;
  uint32_t vocabulary = 0;          // rows of the output matrix
  uint32_t tokens = 0;              // that have a text: the rest of the rows is padding
  uint64_t context = 0;             // trained context length
  int threads = 0;
  std::string isa;                  // instruction set chosen: "avx2" or "scalar"
  std::string device;               // "cpu", or the GPUs' names
  std::vector<PlaceOfLayers> places;   // on GPUs: each of them, and the CPU where it has anything
  uint32_t cpu_layers = 0;          // on GPUs: layers that the CPU computes,
  uint32_t cpu_experts = 0;         // and others whose routed experts it computes
  std::string warpgroups;           // of GPUs that have them: "used", or why not; else empty
  std::string device_problem;       // why no GPU is used: with LoadOptions::device "auto", and of inspect()
};

namespace gguf {
class File;
}

class Runtime;  // weights in the form the forward pass uses, and the compute threads

class Model {
 public:
  // Errors: those of gguf::File::open; unsupported (architecture or tensor type, with what is
  // supported); corrupt (a missing or misshapen tensor, an impossible hyper-parameter, by name);
  // out_of_memory with the estimate when it does not fit the budget, even with experts read on demand.
  static Result<std::shared_ptr<const Model>> load(const std::string& path, const LoadOptions& options,
                                                   const CancelToken& cancel = {});
  // The same of a file that is open already.
  static Result<std::shared_ptr<const Model>> load(std::shared_ptr<const gguf::File> file, const LoadOptions& options,
                                                   const CancelToken& cancel = {});
  // What load() would give and need, without the memory for it; with devices, what would go where.
  static Result<std::pair<ModelInfo, MemoryEstimate>> inspect(const std::string& path, const LoadOptions& options = {});
  // What load() would need alone. `least` is enough for it as it is called without another context, however short this one is.
  static Result<MemoryEstimate> estimate(const std::string& path, uint64_t context_tokens, KvType kv_type = KvType::f16);
  ~Model();

  const ModelInfo& info() const;
  const Tokenizer& tokenizer() const;
  MemoryUse memory() const;
  // Tells this model from every other one; made at the first call.
  const Sha256::Digest& fingerprint() const;
  // Errors: unsupported, when the file's template was not recognised and none was named.
  Result<ChatTemplate> chat_template() const;

  const Runtime& runtime() const { return *runtime_; }

 private:
  explicit Model(std::unique_ptr<Runtime> runtime);
  std::unique_ptr<Runtime> runtime_;
};

// Whether an NVIDIA GPU can be used on this machine: there are a driver, the module and a GPU.
bool can_use_gpu();

}  // namespace wenqu::engine
