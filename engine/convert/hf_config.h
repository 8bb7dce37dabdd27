// A model's config.json: the hyper-parameters under Hugging Face's names, checked, and written as GGUF's metadata.
//
// Supported are the architectures that engine/model runs. What a config says beyond them and would change the result (a
// sliding window, another activation, biases ...) is an error, never passed over.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/convert/json.h"
#include "engine/gguf/writer.h"

namespace wenqu::engine::convert {

struct HfRope {
  enum class Scaling { none, linear, yarn, llama3 };
  double base = 10000;
  Scaling scaling = Scaling::none;
  double factor = 1, beta_fast = 32, beta_slow = 1;
  uint64_t original = 0;             // context; 0: not stated
  double log_multiplier = 0;         // deepseek: a tenth of mscale_all_dim
  double attention_factor = 1;       // on cos and sin, beyond what YaRN puts there by itself
  double low = 1, high = 4;          // llama3: factors of the frequencies' bounds
};

struct HfConfig {
  enum class Family { deepseek, llama, qwen2, qwen3, qwen3moe };
  Family family = Family::llama;
  std::string architecture;          // GGUF's name of it: "deepseek2"
  uint32_t layers = 0, next_token_layers = 0, hidden = 0, heads = 0, kv_heads = 0, head = 0, feed_forward = 0;
  uint64_t context = 0, vocabulary = 0;
  double epsilon = 0;
  bool tied = false;
  HfRope rope;

  uint32_t q_lora = 0, kv_lora = 0, nope = 0, rotated = 0, value = 0;                      // MLA
  uint32_t experts = 0, used = 0, shared = 0, expert_width = 0, leading_dense = 0;         // mixture of experts
  uint32_t groups = 1, groups_used = 1;
  double expert_scale = 1;
  bool normalize = false, sigmoid = false;
  bool biased = false;               // experts are chosen with a bias

  uint64_t block_rows = 0, block_columns = 0;   // of FP8 weights with a scale for each block; 0: none

  bool is_mla() const { return family == Family::deepseek; }
  bool is_moe(uint32_t layer) const { return experts > 0 && layer >= leading_dense; }
};

// Errors: unsupported (the architecture, an option), corrupt (a value, with its member).
Result<HfConfig> read_hf_config(const Object& config);

// All keys of `architecture`, and general.architecture.
void write_metadata(const HfConfig& config, gguf::Writer& writer);

// What llama3's scaling divides each pair's frequency by, as rope_freqs.weight holds it.
std::vector<float> rope_factors(const HfConfig& config);

}  // namespace wenqu::engine::convert
