#include "engine/model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>

#include "engine/gguf/file.h"
#include "engine/model/metadata_reader.h"

namespace wenqu::engine {
namespace {

constexpr uint64_t kMaxExperts = 4096;

// YaRN's knobs that no published model turns. Below 0 is how some writers say that one is not set. Readers disagree on whether
// yarn_attn_factor multiplies YaRN's own magnitude or stands for it: only what leaves that as it is is taken.
Status check_yarn(const MetadataReader& reader, bool yarn, double factor) {
  double ext_factor = -1, magnitude = 1;
  WENQU_RETURN_IF_ERROR(reader.may_real("rope.scaling.yarn_ext_factor", -1, 1e6, ext_factor));
  WENQU_RETURN_IF_ERROR(reader.may_real("rope.scaling.yarn_attn_factor", -1, 1e6, magnitude));
  const auto refused = [&](const char* key, double value) {
    return Status(StatusCode::unsupported, fmt::format("is {}: YaRN with other than its usual values is not supported", value), reader.place(key));
  };
  if (ext_factor >= 0 && factor != 1 && ext_factor != (yarn ? 1 : 0)) return refused("rope.scaling.yarn_ext_factor", ext_factor);
  const double own = yarn && factor > 1 ? 1 + 0.1 * std::log(factor) : 1;
  if (magnitude >= 0 && magnitude != 1 && std::abs(magnitude - own) > 1e-4) return refused("rope.scaling.yarn_attn_factor", magnitude);
  return {};
}

// Sets rope's frequencies, and gives YaRN's factor on the softmax scale (1 without YaRN).
Result<double> read_rope(const MetadataReader& reader, bool deepseek, Config& config) {
  double base = 10000, factor = 1, beta_fast = 32, beta_slow = 1, log_multiplier = 0, attention_factor = 1;
  uint64_t original = config.context;
  WENQU_RETURN_IF_ERROR(reader.may_real("rope.freq_base", 1.0001, 1e12, base));
  WENQU_RETURN_IF_ERROR(reader.may_real("rope.scale_linear", 1e-3, 1e6, factor));
  WENQU_RETURN_IF_ERROR(reader.may_real("rope.scaling.factor", 1e-3, 1e6, factor));
  WENQU_RETURN_IF_ERROR(reader.may("rope.scaling.original_context_length", 1, 1ull << 40, original));
  WENQU_RETURN_IF_ERROR(reader.may_real("rope.scaling.yarn_beta_fast", 1e-3, 1e6, beta_fast));
  WENQU_RETURN_IF_ERROR(reader.may_real("rope.scaling.yarn_beta_slow", 1e-3, 1e6, beta_slow));
  WENQU_RETURN_IF_ERROR(reader.may_real("rope.scaling.yarn_log_multiplier", 0, 100, log_multiplier));
  WENQU_RETURN_IF_ERROR(reader.may_real("rope.scaling.attn_factor", 1e-3, 1e3, attention_factor));
  // Kimi-K2's files from before the keys were written mean 1 for both, as its own configuration has it.
  const bool kimi_k2 = deepseek && config.moe.router.experts == 384;
  if (kimi_k2 && !reader.has("rope.scaling.yarn_beta_fast") && !reader.has("rope.scaling.yarn_beta_slow")) beta_fast = 1;
  std::string_view type;
  WENQU_RETURN_IF_ERROR(reader.may_text("rope.scaling.type", type));
  if (!type.empty() && type != "none" && type != "linear" && type != "yarn")
    return Status(StatusCode::unsupported, fmt::format("the rope scaling '{}' is not supported: none, linear and yarn are", type),
                  reader.place("rope.scaling.type"));
  const bool yarn = type == "yarn";
  if (type == "none") factor = 1;
  WENQU_RETURN_IF_ERROR(check_yarn(reader, yarn, factor));

  const double n = config.rope.dimensions;
  // The pair that turns `rotations` times over the original context.
  const auto pair_of = [&](double rotations) {
    return n * std::log(static_cast<double>(original) / (rotations * 2 * std::numbers::pi)) / (2 * std::log(base));
  };
  const double low = std::max(0.0, std::floor(pair_of(beta_fast)));
  const double high = std::min(n - 1, std::ceil(pair_of(beta_slow)));
  for (uint32_t i = 0; i < config.rope.dimensions / 2; ++i) {
    const double plain = std::pow(base, -2.0 * i / n);
    // Fast pairs keep their frequency, slow ones are stretched, those between are mixed.
    const double keep = yarn ? 1 - std::clamp((i - low) / std::max(0.001, high - low), 0.0, 1.0) : 0;
    config.rope.frequencies.push_back(plain / factor * (1 - keep) + plain * keep);
  }
  config.rope.magnitude = static_cast<float>(attention_factor);
  if (!yarn || factor <= 1) return 1.0;
  if (!deepseek) {
    config.rope.magnitude = static_cast<float>(attention_factor * (1 + 0.1 * std::log(factor)));
    return 1.0;
  }
  // DeepSeek puts the magnitude on the softmax scale, squared, instead of on cos and sin; the key holds
  // a tenth of its mscale_all_dim.
  const double m = log_multiplier * std::log(factor) + 1;
  return m * m;
}

Status read_deepseek2(const MetadataReader& reader, Config& config) {
  MlaConfig& mla = config.mla;
  uint32_t key_length = 0;
  WENQU_RETURN_IF_ERROR(reader.may("attention.q_lora_rank", 1, kMaxWidth, mla.q_lora));
  WENQU_RETURN_IF_ERROR(reader.need("attention.kv_lora_rank", 1, kMaxWidth, mla.kv_lora));
  // Files from before April 2025 state a head's lengths where newer ones state the cache row's.
  const bool new_keys = reader.has("attention.key_length_mla");
  WENQU_RETURN_IF_ERROR(reader.need(new_keys ? "attention.key_length_mla" : "attention.key_length", 1, kMaxWidth, key_length));
  WENQU_RETURN_IF_ERROR(reader.need(new_keys ? "attention.value_length_mla" : "attention.value_length", 1, kMaxWidth, mla.value));
  WENQU_RETURN_IF_ERROR(reader.need("rope.dimension_count", 2, kMaxWidth, mla.rope));
  if (mla.rope % 2 || mla.rope >= key_length)
    return reader.wrong("rope.dimension_count", fmt::format("is {}: it must be even and below the key length of {}", mla.rope, key_length));
  mla.nope = key_length - mla.rope;

  MoeConfig& moe = config.moe;
  ops::RouterConfig& router = moe.router;
  WENQU_RETURN_IF_ERROR(reader.may("expert_count", 0, kMaxExperts, router.experts));
  if (router.experts > 0) {
    WENQU_RETURN_IF_ERROR(reader.need("expert_used_count", 1, router.experts, router.used));
    WENQU_RETURN_IF_ERROR(reader.may("expert_shared_count", 0, 64, moe.shared));
    WENQU_RETURN_IF_ERROR(reader.need("expert_feed_forward_length", 1, kMaxWidth, moe.width));
    WENQU_RETURN_IF_ERROR(reader.may("leading_dense_block_count", 0, config.layers, moe.leading_dense));
    WENQU_RETURN_IF_ERROR(reader.may_flag("expert_weights_norm", router.normalize));
    double scale = 1;
    WENQU_RETURN_IF_ERROR(reader.may_real("expert_weights_scale", 0, 1e6, scale));
    if (scale > 0) router.scale = static_cast<float>(scale);
    uint32_t gating = 1;
    WENQU_RETURN_IF_ERROR(reader.may("expert_gating_func", 0, 4, gating));
    if (gating > 2)
      return Status(StatusCode::unsupported, fmt::format("the router function {} is not supported: softmax (1) and sigmoid (2) are", gating),
                    "metadata key 'deepseek2.expert_gating_func'");
    router.gating = gating == 2 ? ops::RouterConfig::Gating::sigmoid : ops::RouterConfig::Gating::softmax;
    // Files from before October 2025 do not state the groups; these are DeepSeek's own.
    if (router.experts == 256 && gating == 2) router.groups = 8, router.groups_used = 4;
    if (router.experts == 160 && gating != 2) router.groups = 8, router.groups_used = 3;
    if (reader.has("expert_group_count")) {
      WENQU_RETURN_IF_ERROR(reader.need("expert_group_count", 1, router.experts, router.groups));
      router.groups_used = router.groups;
      WENQU_RETURN_IF_ERROR(reader.may("expert_group_used_count", 1, router.groups, router.groups_used));
    }
    if (router.experts % router.groups)
      return reader.wrong("expert_group_count", fmt::format("is {}, which does not divide {} experts", router.groups, router.experts));
    if (router.used > router.experts / router.groups * router.groups_used)
      return reader.wrong("expert_used_count", "is more than the chosen groups hold");
  }
  config.rope.pairing = ops::RopePairing::adjacent;
  config.rope.dimensions = mla.rope;
  WENQU_ASSIGN_OR_RETURN(const double softmax_factor, read_rope(reader, true, config));
  config.attention_scale = static_cast<float>(softmax_factor / std::sqrt(static_cast<double>(key_length)));
  return {};
}

// llama and the Qwen models: attention with shared key and value heads, and a dense feed-forward or
// Qwen3's mixture of experts.
Status read_gqa(const MetadataReader& reader, Config& config) {
  config.kv_heads = config.heads;
  WENQU_RETURN_IF_ERROR(reader.may("attention.head_count_kv", 1, config.heads, config.kv_heads));
  if (config.heads % config.kv_heads)
    return reader.wrong("attention.head_count_kv", fmt::format("is {}, which does not divide {} heads", config.kv_heads, config.heads));
  config.head = config.embedding / config.heads;
  WENQU_RETURN_IF_ERROR(reader.may("attention.key_length", 1, kMaxWidth, config.head));
  if (config.head == 0) return reader.wrong("attention.head_count", "is more than the embedding is wide");
  uint32_t value = config.head;
  WENQU_RETURN_IF_ERROR(reader.may("attention.value_length", 1, kMaxWidth, value));
  if (value != config.head)
    return Status(StatusCode::unsupported, fmt::format("is {}, but keys have {} numbers: they must be the same", value, config.head),
                  fmt::format("metadata key '{}.attention.value_length'", config.name));
  const bool llama = config.architecture == Architecture::llama;
  config.normed_heads = config.architecture == Architecture::qwen3 || config.architecture == Architecture::qwen3moe;
  if (config.architecture == Architecture::qwen3moe) {
    ops::RouterConfig& router = config.moe.router;
    WENQU_RETURN_IF_ERROR(reader.need("expert_count", 1, kMaxExperts, router.experts));
    WENQU_RETURN_IF_ERROR(reader.need("expert_used_count", 1, router.experts, router.used));
    WENQU_RETURN_IF_ERROR(reader.need("expert_feed_forward_length", 1, kMaxWidth, config.moe.width));
    router.normalize = true;   // always, whatever the file says
  } else {
    uint32_t experts = 0;
    WENQU_RETURN_IF_ERROR(reader.may("expert_count", 0, kMaxExperts, experts));
    if (experts > 0)
      return Status(StatusCode::unsupported,
                    fmt::format("{} with a mixture of {} experts is not supported; deepseek2 and qwen3moe have one", config.name, experts),
                    fmt::format("metadata key '{}.expert_count'", config.name));
  }
  // Converters of llama have permuted its queries and keys so that neighbours are pairs.
  config.rope.pairing = llama ? ops::RopePairing::adjacent : ops::RopePairing::halves;
  config.rope.dimensions = config.head;
  WENQU_RETURN_IF_ERROR(reader.may("rope.dimension_count", 2, config.head, config.rope.dimensions));
  if (config.rope.dimensions % 2) return reader.wrong("rope.dimension_count", "is odd");
  const auto softmax_factor = read_rope(reader, false, config);
  if (!softmax_factor) return softmax_factor.status();
  config.attention_scale = 1 / std::sqrt(static_cast<float>(config.head));
  return {};
}

}  // namespace

Result<Config> read_config(const gguf::File& file) {
  const std::string_view name = file.get_string("general.architecture").value_or("");
  Config config;
  config.name = name;
  struct Name {
    std::string_view name;
    Architecture architecture;
  };
  constexpr Name kNames[] = {{"deepseek2", Architecture::deepseek2},
                             {"llama", Architecture::llama},
                             {"qwen2", Architecture::qwen2},
                             {"qwen3", Architecture::qwen3},
                             {"qwen3moe", Architecture::qwen3moe}};
  const Name* known = std::find_if(std::begin(kNames), std::end(kNames), [&](const Name& n) { return n.name == name; });
  if (name == "bert")
    return Status(StatusCode::unsupported, "the model embeds or ranks texts and does not write any: give it for searching (--embed, --rerank)",
                  "metadata key 'general.architecture'");
  if (known == std::end(kNames))
    return Status(StatusCode::unsupported,
                  fmt::format("the architecture '{}' is not supported; supported are deepseek2, llama, qwen2, qwen3 and qwen3moe", name),
                  "metadata key 'general.architecture'");
  config.architecture = known->architecture;
  const MetadataReader reader(file, config.name + ".");
  double epsilon = 0;
  WENQU_RETURN_IF_ERROR(reader.need("block_count", 1, kMaxLayers, config.layers));
  uint32_t next_token_layers = 0;
  WENQU_RETURN_IF_ERROR(reader.may("nextn_predict_layers", 0, kMaxLayers, next_token_layers));
  // Some converters keep the key and drop the layers; then all the blocks are the trunk's.
  if (next_token_layers > 0 && next_token_layers < config.layers &&
      file.tensor(fmt::format("blk.{}.nextn.eh_proj.weight", config.layers - next_token_layers))) {
    config.next_token_layers = next_token_layers;
    config.layers -= next_token_layers;
  }
  WENQU_RETURN_IF_ERROR(reader.need("embedding_length", 1, kMaxWidth, config.embedding));
  WENQU_RETURN_IF_ERROR(reader.need("attention.head_count", 1, kMaxHeads, config.heads));
  WENQU_RETURN_IF_ERROR(reader.need("feed_forward_length", 1, kMaxWidth, config.feed_forward));
  WENQU_RETURN_IF_ERROR(reader.need("context_length", 1, 1ull << 32, config.context));
  if (!reader.has("attention.layer_norm_rms_epsilon")) return reader.wrong("attention.layer_norm_rms_epsilon", "is missing");
  WENQU_RETURN_IF_ERROR(reader.may_real("attention.layer_norm_rms_epsilon", 0, 1, epsilon));
  config.rms_epsilon = static_cast<float>(epsilon);
  WENQU_RETURN_IF_ERROR(config.has_mla() ? read_deepseek2(reader, config) : read_gqa(reader, config));
  return config;
}

Status set_expert_groups(uint32_t groups, uint32_t used, Config& config) {
  ops::RouterConfig& router = config.moe.router;
  const auto wrong = [&](std::string what) { return Status(StatusCode::invalid_argument, std::move(what), "expert_groups"); };
  if (router.experts == 0) return wrong("the model has no experts to divide into groups");
  if (groups == 0 || router.experts % groups) return wrong(fmt::format("{} groups do not divide {} experts", groups, router.experts));
  if (used == 0 || used > groups) return wrong(fmt::format("of {} groups, {} cannot be used", groups, used));
  if (router.used > router.experts / groups * used)
    return wrong(fmt::format("{} groups of {} experts do not hold the {} that a token uses", used, router.experts / groups, router.used));
  router.groups = groups, router.groups_used = used;
  return {};
}

}  // namespace wenqu::engine
