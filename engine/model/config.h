// The hyper-parameters of a model, read from its file and checked: every number that a shape, a loop
// or a division will use is known to be sound afterwards.
//
// Names of keys: GGUF's model metadata. DeepSeek-V2 (arXiv 2405.04434) and V3 (arXiv 2412.19437) give
// MLA and the routers, YaRN is arXiv 2309.00071.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/ops/rope.h"
#include "engine/ops/router.h"

namespace wenqu::engine {

namespace gguf {
class File;
}

enum class Architecture { deepseek2, llama, qwen2, qwen3, qwen3moe };

struct RopeConfig {
  ops::RopePairing pairing = ops::RopePairing::adjacent;
  uint32_t dimensions = 0;          // rotated numbers of a head, even
  std::vector<double> frequencies;  // [dimensions / 2] radians a position, scaling applied
  float magnitude = 1;              // on cos and sin
};

struct MlaConfig {
  uint32_t q_lora = 0;   // 0: queries come straight from the hidden state
  uint32_t kv_lora = 0;  // the latent
  uint32_t nope = 0;     // unrotated part of a head's key
  uint32_t rope = 0;     // rotated part, shared by all heads
  uint32_t value = 0;    // a head's output
};

struct MoeConfig {
  ops::RouterConfig router;       // router.experts 0: no layer has any
  uint32_t shared = 0;            // experts that every token uses, kept as one
  uint32_t width = 0;             // of one expert
  uint32_t leading_dense = 0;     // layers before this have a dense feed-forward
};

struct Config {
  Architecture architecture = Architecture::qwen2;
  std::string name;               // "deepseek2"
  uint32_t layers = 0;            // of the trunk
  uint32_t next_token_layers = 0; // multi-token prediction (DeepSeek-V3, section 2.2), behind the trunk
  uint32_t embedding = 0;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;          // GQA
  uint32_t head = 0;              // numbers of a head's query and key, GQA
  uint32_t feed_forward = 0;      // dense
  uint64_t context = 0;           // trained
  uint64_t vocabulary = 0;        // rows of the embedding
  float rms_epsilon = 0;
  float attention_scale = 0;      // on query * key
  RopeConfig rope;
  MlaConfig mla;                  // deepseek2
  MoeConfig moe;                  // deepseek2, qwen3moe
  bool normed_heads = false;      // each head's query and key pass an RMS norm before they are rotated

  bool has_mla() const { return architecture == Architecture::deepseek2; }
};

// Errors: unsupported (the architecture, the router's function ...), corrupt (the key).
Result<Config> read_config(const gguf::File& file);

// Routes by groups other than the file's. Errors: invalid_argument, when the experts cannot be divided so.
Status set_expert_groups(uint32_t groups, uint32_t used, Config& config);

}  // namespace wenqu::engine
