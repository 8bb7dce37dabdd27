#include "engine/convert/hf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>

namespace wenqu::engine::convert {
namespace {

constexpr uint64_t kMaxLayers = 1024, kMaxWidth = 1 << 20, kMaxHeads = 4096, kMaxExperts = 4096, kMaxVocabulary = INT32_MAX;

struct Known {
  std::string_view type;           // model_type
  HfConfig::Family family;
  std::string_view architecture;
};
constexpr Known kKnown[] = {{"deepseek_v2", HfConfig::Family::deepseek, "deepseek2"},
                            {"deepseek_v3", HfConfig::Family::deepseek, "deepseek2"},
                            {"kimi_k2", HfConfig::Family::deepseek, "deepseek2"},
                            {"llama", HfConfig::Family::llama, "llama"},
                            {"qwen2", HfConfig::Family::qwen2, "qwen2"},
                            {"qwen3", HfConfig::Family::qwen3, "qwen3"},
                            {"qwen3_moe", HfConfig::Family::qwen3moe, "qwen3moe"}};

// YaRN's growth of the attention's magnitude (arXiv 2309.00071, section 3.4).
double magnitude(double factor, double scale) { return factor <= 1 ? 1 : 0.1 * scale * std::log(factor) + 1; }

Status read_yarn(const Object& scaling, bool deepseek, HfRope& rope) {
  WENQU_RETURN_IF_ERROR(scaling.may_real("beta_fast", 1e-3, 1e6, rope.beta_fast));
  WENQU_RETURN_IF_ERROR(scaling.may_real("beta_slow", 1e-3, 1e6, rope.beta_slow));
  if (deepseek) {
    // mscale goes on cos and sin over what mscale_all_dim puts on the softmax scale.
    double scale = 1, scale_all = 0;
    WENQU_RETURN_IF_ERROR(scaling.may_real("mscale", 0, 100, scale));
    WENQU_RETURN_IF_ERROR(scaling.may_real("mscale_all_dim", 0, 100, scale_all));
    rope.log_multiplier = 0.1 * scale_all;
    rope.attention_factor = magnitude(rope.factor, scale) / magnitude(rope.factor, scale_all);
  } else if (scaling.has("attention_factor")) {
    double factor = 1;
    WENQU_RETURN_IF_ERROR(scaling.may_real("attention_factor", 1e-3, 1e3, factor));
    rope.attention_factor = factor / magnitude(rope.factor, 1);
  }
  return {};
}

Status read_scaling(const Object& scaling, bool deepseek, HfRope& rope) {
  std::string type = "default";
  WENQU_RETURN_IF_ERROR(scaling.may_text("type", type));
  WENQU_RETURN_IF_ERROR(scaling.may_text("rope_type", type));
  WENQU_RETURN_IF_ERROR(scaling.may_real("rope_theta", 1.0001, 1e12, rope.base));
  if (type == "default") return {};
  WENQU_RETURN_IF_ERROR(scaling.need_real("factor", 1e-3, 1e6, rope.factor));
  WENQU_RETURN_IF_ERROR(scaling.may_count("original_max_position_embeddings", 1, 1ull << 32, rope.original));
  if (type == "linear") {
    rope.scaling = HfRope::Scaling::linear;
  } else if (type == "yarn") {
    rope.scaling = HfRope::Scaling::yarn;
    return read_yarn(scaling, deepseek, rope);
  } else if (type == "llama3") {
    rope.scaling = HfRope::Scaling::llama3;
    if (rope.original == 0) return scaling.wrong("original_max_position_embeddings", "is missing");
    WENQU_RETURN_IF_ERROR(scaling.need_real("low_freq_factor", 1e-3, 1e6, rope.low));
    WENQU_RETURN_IF_ERROR(scaling.need_real("high_freq_factor", 1e-3, 1e6, rope.high));
    if (rope.high <= rope.low) return scaling.wrong("high_freq_factor", "is not above low_freq_factor");
  } else {
    return scaling.unsupported("type", fmt::format("the rope scaling '{}' is not supported: linear, yarn and llama3 are", type));
  }
  return {};
}

Status read_rope(const Object& config, HfConfig& out) {
  WENQU_RETURN_IF_ERROR(config.may_real("rope_theta", 1.0001, 1e12, out.rope.base));
  for (const char* name : {"rope_scaling", "rope_parameters"}) {   // before and since transformers 5
    WENQU_ASSIGN_OR_RETURN(const std::optional<Object> scaling, config.object(name));
    if (scaling) WENQU_RETURN_IF_ERROR(read_scaling(*scaling, out.is_mla(), out.rope));
  }
  double partial = 1;
  WENQU_RETURN_IF_ERROR(config.may_real("partial_rotary_factor", 0, 1, partial));
  if (partial != 1) return config.unsupported("partial_rotary_factor", "heads that are rotated in part are not supported");
  if (out.rope.scaling == HfRope::Scaling::llama3 && out.family != HfConfig::Family::llama)
    return config.unsupported("rope_scaling", "llama3's scaling is supported for llama only");
  return {};
}

Status read_mla(const Object& config, HfConfig& out) {
  WENQU_RETURN_IF_ERROR(config.may_count("q_lora_rank", 1, kMaxWidth, out.q_lora));
  WENQU_RETURN_IF_ERROR(config.need_count("kv_lora_rank", 1, kMaxWidth, out.kv_lora));
  WENQU_RETURN_IF_ERROR(config.need_count("qk_nope_head_dim", 1, kMaxWidth, out.nope));
  WENQU_RETURN_IF_ERROR(config.need_count("qk_rope_head_dim", 2, kMaxWidth, out.rotated));
  WENQU_RETURN_IF_ERROR(config.need_count("v_head_dim", 1, kMaxWidth, out.value));
  if (out.rotated % 2) return config.wrong("qk_rope_head_dim", "is odd");
  return config.may_count("num_nextn_predict_layers", 0, 16, out.next_token_layers);
}

Status read_deepseek_moe(const Object& config, bool version2, HfConfig& out) {
  WENQU_RETURN_IF_ERROR(config.may_count("n_routed_experts", 1, kMaxExperts, out.experts));
  if (out.experts == 0) return {};
  WENQU_RETURN_IF_ERROR(config.need_count("num_experts_per_tok", 1, out.experts, out.used));
  WENQU_RETURN_IF_ERROR(config.may_count("n_shared_experts", 0, 64, out.shared));
  WENQU_RETURN_IF_ERROR(config.need_count("moe_intermediate_size", 1, kMaxWidth, out.expert_width));
  WENQU_RETURN_IF_ERROR(config.may_count("first_k_dense_replace", 0, out.layers, out.leading_dense));
  uint32_t frequency = 1;
  WENQU_RETURN_IF_ERROR(config.may_count("moe_layer_freq", 1, kMaxLayers, frequency));
  if (frequency != 1) return config.unsupported("moe_layer_freq", "dense layers between those with experts are not supported");
  std::string scoring = version2 ? "softmax" : "sigmoid", method = version2 ? "greedy" : "noaux_tc";
  WENQU_RETURN_IF_ERROR(config.may_text("scoring_func", scoring));
  WENQU_RETURN_IF_ERROR(config.may_text("topk_method", method));
  if (scoring != "softmax" && scoring != "sigmoid")
    return config.unsupported("scoring_func", fmt::format("'{}' is not supported: softmax and sigmoid are", scoring));
  out.sigmoid = scoring == "sigmoid";
  if (method != "greedy" && method != "group_limited_greedy" && method != "noaux_tc")
    return config.unsupported("topk_method", fmt::format("'{}' is not supported: greedy, group_limited_greedy and noaux_tc are", method));
  out.biased = method == "noaux_tc";
  if (method != "greedy") {
    WENQU_RETURN_IF_ERROR(config.may_count("n_group", 1, out.experts, out.groups));
    out.groups_used = out.groups;
    WENQU_RETURN_IF_ERROR(config.may_count("topk_group", 1, out.groups, out.groups_used));
    if (out.experts % out.groups) return config.wrong("n_group", fmt::format("does not divide {} experts", out.experts));
  }
  WENQU_RETURN_IF_ERROR(config.may_real("routed_scaling_factor", 1e-6, 1e6, out.expert_scale));
  WENQU_RETURN_IF_ERROR(config.may_flag("norm_topk_prob", out.normalize));
  // Version 2 divides by the sum or scales, never both.
  if (version2 && out.normalize && out.used > 1) out.expert_scale = 1;
  return {};
}

Status read_gqa(const Object& config, HfConfig& out) {
  out.kv_heads = out.heads;
  WENQU_RETURN_IF_ERROR(config.may_count("num_key_value_heads", 1, out.heads, out.kv_heads));
  if (out.heads % out.kv_heads) return config.wrong("num_key_value_heads", fmt::format("does not divide {} heads", out.heads));
  out.head = out.family == HfConfig::Family::qwen3 || out.family == HfConfig::Family::qwen3moe ? 128 : out.hidden / out.heads;
  WENQU_RETURN_IF_ERROR(config.may_count("head_dim", 2, kMaxWidth, out.head));
  if (out.head < 2 || out.head % 2) return config.wrong("head_dim", fmt::format("is {}: it must be even", out.head));
  bool window = false, biased = false;
  WENQU_RETURN_IF_ERROR(config.may_flag("use_sliding_window", window));
  if (window) return config.unsupported("use_sliding_window", "sliding windows are not supported");
  WENQU_RETURN_IF_ERROR(config.may_flag("mlp_bias", biased));
  if (biased) return config.unsupported("mlp_bias", "biases in the feed-forward are not supported");
  if (out.family != HfConfig::Family::qwen3moe) return {};

  WENQU_RETURN_IF_ERROR(config.need_count("num_experts", 1, kMaxExperts, out.experts));
  WENQU_RETURN_IF_ERROR(config.need_count("num_experts_per_tok", 1, out.experts, out.used));
  WENQU_RETURN_IF_ERROR(config.need_count("moe_intermediate_size", 1, kMaxWidth, out.expert_width));
  uint32_t step = 1;
  WENQU_RETURN_IF_ERROR(config.may_count("decoder_sparse_step", 1, kMaxLayers, step));
  const Json* dense = config.find("mlp_only_layers");
  if (step != 1 || (dense && dense->IsArray() && !dense->Empty()))
    return config.unsupported("mlp_only_layers", "dense layers between those with experts are not supported");
  out.normalize = true;
  WENQU_RETURN_IF_ERROR(config.may_flag("norm_topk_prob", out.normalize));
  if (!out.normalize) return config.unsupported("norm_topk_prob", "is false: routing without dividing by the sum is not supported");
  return {};
}

Status read_fp8(const Object& config, HfConfig& out) {
  WENQU_ASSIGN_OR_RETURN(const std::optional<Object> quantization, config.object("quantization_config"));
  if (!quantization) return {};
  std::string method;
  WENQU_RETURN_IF_ERROR(quantization->may_text("quant_method", method));
  if (method != "fp8")
    return quantization->unsupported("quant_method", fmt::format("'{}' is not supported: fp8 is; take the model's unquantized form", method));
  const Json* size = quantization->find("weight_block_size");
  const auto usable = [](const Json& n) { return n.IsUint64() && n.GetUint64() >= 1 && n.GetUint64() <= kMaxWidth; };
  if (!size || !size->IsArray() || size->Size() != 2 || !usable((*size)[0]) || !usable((*size)[1]))
    return quantization->wrong("weight_block_size", "is missing, or no list of two sizes");
  out.block_rows = (*size)[0].GetUint64(), out.block_columns = (*size)[1].GetUint64();
  return {};
}

std::string key(const HfConfig& config, std::string_view name) { return fmt::format("{}.{}", config.architecture, name); }

void write_mla(const HfConfig& config, gguf::Writer& writer) {
  const auto count = [&](std::string_view name, uint32_t value) { writer.set_uint(key(config, name), value); };
  if (config.q_lora) count("attention.q_lora_rank", config.q_lora);
  count("attention.kv_lora_rank", config.kv_lora);
  // The cache holds one row for all heads: the latent and the rotated key.
  count("attention.head_count_kv", 1);
  count("attention.key_length", config.kv_lora + config.rotated);
  count("attention.value_length", config.kv_lora);
  count("attention.key_length_mla", config.nope + config.rotated);
  count("attention.value_length_mla", config.value);
  count("rope.dimension_count", config.rotated);
  if (config.next_token_layers) count("nextn_predict_layers", config.next_token_layers);
  if (config.experts == 0) return;
  count("leading_dense_block_count", config.leading_dense);
  count("expert_shared_count", config.shared);
  count("expert_group_count", config.groups);
  count("expert_group_used_count", config.groups_used);
  count("expert_gating_func", config.sigmoid ? 2 : 1);
  writer.set_float(key(config, "expert_weights_scale"), static_cast<float>(config.expert_scale));
  writer.set_bool(key(config, "expert_weights_norm"), config.normalize);
}

void write_rope(const HfConfig& config, gguf::Writer& writer) {
  const HfRope& rope = config.rope;
  const auto real = [&](std::string_view name, double value) { writer.set_float(key(config, name), static_cast<float>(value)); };
  real("rope.freq_base", rope.base);
  if (rope.scaling == HfRope::Scaling::none || rope.scaling == HfRope::Scaling::llama3) return;   // llama3's lies in a tensor
  const bool yarn = rope.scaling == HfRope::Scaling::yarn;
  writer.set_string(key(config, "rope.scaling.type"), yarn ? "yarn" : "linear");
  real("rope.scaling.factor", rope.factor);
  if (!yarn) return;
  writer.set_uint(key(config, "rope.scaling.original_context_length"), static_cast<uint32_t>(rope.original ? rope.original : config.context));
  real("rope.scaling.yarn_beta_fast", rope.beta_fast);
  real("rope.scaling.yarn_beta_slow", rope.beta_slow);
  if (config.is_mla()) real("rope.scaling.yarn_log_multiplier", rope.log_multiplier);
  if (rope.attention_factor != 1) real("rope.scaling.attn_factor", rope.attention_factor);
}

}  // namespace

Result<HfConfig> read_hf_config(const Object& config) {
  std::string type, activation = "silu";
  WENQU_RETURN_IF_ERROR(config.may_text("model_type", type));
  const Known* known = std::find_if(std::begin(kKnown), std::end(kKnown), [&](const Known& k) { return k.type == type; });
  if (known == std::end(kKnown))
    return config.unsupported("model_type", fmt::format("'{}' is not supported; deepseek_v2, deepseek_v3, kimi_k2, llama, qwen2, qwen3 and "
                                                        "qwen3_moe are", type));
  HfConfig out;
  out.family = known->family, out.architecture = known->architecture;
  WENQU_RETURN_IF_ERROR(config.need_count("num_hidden_layers", 1, kMaxLayers, out.layers));
  WENQU_RETURN_IF_ERROR(config.need_count("hidden_size", 1, kMaxWidth, out.hidden));
  WENQU_RETURN_IF_ERROR(config.need_count("num_attention_heads", 1, kMaxHeads, out.heads));
  WENQU_RETURN_IF_ERROR(config.need_count("intermediate_size", 1, kMaxWidth, out.feed_forward));
  WENQU_RETURN_IF_ERROR(config.need_count("max_position_embeddings", 1, UINT32_MAX, out.context));
  WENQU_RETURN_IF_ERROR(config.need_count("vocab_size", 1, kMaxVocabulary, out.vocabulary));
  WENQU_RETURN_IF_ERROR(config.need_real("rms_norm_eps", 0, 1, out.epsilon));
  WENQU_RETURN_IF_ERROR(config.may_flag("tie_word_embeddings", out.tied));
  WENQU_RETURN_IF_ERROR(config.may_text("hidden_act", activation));
  if (activation != "silu") return config.unsupported("hidden_act", fmt::format("'{}' is not supported: silu is", activation));
  if (out.is_mla()) {
    WENQU_RETURN_IF_ERROR(read_mla(config, out));
    WENQU_RETURN_IF_ERROR(read_deepseek_moe(config, type == "deepseek_v2", out));
  } else {
    WENQU_RETURN_IF_ERROR(read_gqa(config, out));
  }
  WENQU_RETURN_IF_ERROR(read_rope(config, out));
  WENQU_RETURN_IF_ERROR(read_fp8(config, out));
  return out;
}

void write_metadata(const HfConfig& config, gguf::Writer& writer) {
  const auto count = [&](std::string_view name, uint64_t value) { writer.set_uint(key(config, name), static_cast<uint32_t>(value)); };
  writer.set_string("general.architecture", config.architecture);
  count("block_count", config.layers + config.next_token_layers);
  count("context_length", config.context);
  count("embedding_length", config.hidden);
  count("feed_forward_length", config.feed_forward);
  count("vocab_size", config.vocabulary);
  count("attention.head_count", config.heads);
  writer.set_float(key(config, "attention.layer_norm_rms_epsilon"), static_cast<float>(config.epsilon));
  if (config.experts) {
    count("expert_count", config.experts);
    count("expert_used_count", config.used);
    count("expert_feed_forward_length", config.expert_width);
  }
  if (config.is_mla()) {
    write_mla(config, writer);
  } else {
    count("attention.head_count_kv", config.kv_heads);
    count("attention.key_length", config.head);
    count("attention.value_length", config.head);
    count("rope.dimension_count", config.head);
  }
  write_rope(config, writer);
}

std::vector<float> rope_factors(const HfConfig& config) {
  const HfRope& rope = config.rope;
  std::vector<float> factors;
  for (uint32_t i = 0; i < config.head / 2; ++i) {
    const double wavelength = 2 * std::numbers::pi * std::pow(rope.base, 2.0 * i / config.head);
    const double turns = static_cast<double>(rope.original) / wavelength;
    // Fast pairs stay, slow ones are stretched by the factor, those between are mixed.
    const double keep = std::clamp((turns - rope.low) / (rope.high - rope.low), 0.0, 1.0);
    factors.push_back(static_cast<float>(1 / ((1 - keep) / rope.factor + keep)));
  }
  return factors;
}

}  // namespace wenqu::engine::convert
