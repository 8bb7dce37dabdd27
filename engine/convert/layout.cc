#include "engine/convert/layout.h"

#include <fmt/format.h>

namespace wenqu::engine::convert {
namespace {

// Plans one layer: names begin with `from` in the checkpoint and with `to` in the file.
class LayerPlan {
 public:
  LayerPlan(Planner& planner, const HfConfig& config, uint32_t layer)
      : planner_(planner), config_(config), from_(fmt::format("model.layers.{}.", layer)), to_(fmt::format("blk.{}.", layer)) {}

  Status all(bool experts) {
    WENQU_RETURN_IF_ERROR(vector("attn_norm.weight", "input_layernorm.weight", config_.hidden));
    WENQU_RETURN_IF_ERROR(config_.is_mla() ? mla() : gqa());
    WENQU_RETURN_IF_ERROR(vector("ffn_norm.weight", "post_attention_layernorm.weight", config_.hidden));
    return experts ? mixture() : feed_forward("", "mlp.", config_.feed_forward);
  }

  // What leads into a layer of multi-token prediction, and out of it. Its projection takes [embedding | hidden], as the
  // file's does.
  Status next_token() {
    const uint64_t d = config_.hidden;
    WENQU_RETURN_IF_ERROR(vector("nextn.enorm.weight", "enorm.weight", d));
    WENQU_RETURN_IF_ERROR(vector("nextn.hnorm.weight", "hnorm.weight", d));
    WENQU_RETURN_IF_ERROR(matrix("nextn.eh_proj.weight", "eh_proj.weight", 2 * d, d));
    if (has("embed_tokens.weight"))
      WENQU_RETURN_IF_ERROR(matrix("nextn.embed_tokens.weight", "embed_tokens.weight", d, config_.vocabulary));
    if (has("shared_head.head.weight"))
      WENQU_RETURN_IF_ERROR(matrix("nextn.shared_head_head.weight", "shared_head.head.weight", d, config_.vocabulary));
    return has("shared_head.norm.weight") ? vector("nextn.shared_head_norm.weight", "shared_head.norm.weight", d) : Status();
  }

 private:
  bool has(std::string_view from) const { return planner_.has(from_ + std::string(from)); }
  Status vector(std::string_view to, std::string_view from, uint64_t size) {
    return planner_.vector(to_ + std::string(to), from_ + std::string(from), size);
  }
  Status matrix(std::string_view to, std::string_view from, uint64_t in, uint64_t out) {
    return planner_.matrix(to_ + std::string(to), from_ + std::string(from), in, out);
  }

  // Qwen2 always has biases; elsewhere all layers have them or none has.
  bool biased() const { return config_.family == HfConfig::Family::qwen2 || planner_.has("model.layers.0.self_attn.q_proj.bias"); }

  Status mla() {
    const uint64_t d = config_.hidden, heads = config_.heads, head = uint64_t{config_.nope} + config_.rotated;
    if (config_.q_lora > 0) {
      WENQU_RETURN_IF_ERROR(matrix("attn_q_a.weight", "self_attn.q_a_proj.weight", d, config_.q_lora));
      WENQU_RETURN_IF_ERROR(vector("attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight", config_.q_lora));
      WENQU_RETURN_IF_ERROR(matrix("attn_q_b.weight", "self_attn.q_b_proj.weight", config_.q_lora, heads * head));
    } else {
      WENQU_RETURN_IF_ERROR(matrix("attn_q.weight", "self_attn.q_proj.weight", d, heads * head));
    }
    WENQU_RETURN_IF_ERROR(
        matrix("attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight", d, uint64_t{config_.kv_lora} + config_.rotated));
    WENQU_RETURN_IF_ERROR(vector("attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight", config_.kv_lora));
    // For each head the rows of its unrotated key, which are turned around to carry a query into the latent space, then
    // those of its value.
    const std::string kv_b = from_ + "self_attn.kv_b_proj.weight";
    const uint64_t nope = config_.nope, value = config_.value, stride = nope + value;
    WENQU_RETURN_IF_ERROR(planner_.turned(to_ + "attn_k_b.weight", kv_b, config_.kv_lora, stride, nope, heads));
    WENQU_RETURN_IF_ERROR(planner_.ordered(to_ + "attn_v_b.weight", kv_b, {config_.kv_lora, value, heads}, stride * heads,
                                           [=](uint64_t row) { return row / value * stride + nope + row % value; }));
    return matrix("attn_output.weight", "self_attn.o_proj.weight", heads * value, d);
  }

  // A head's rows lie as two halves in the checkpoint; llama's files have the pairs of a rotation side by side.
  Status rotated(std::string_view to, std::string_view from, uint64_t heads) {
    const uint64_t d = config_.hidden, head = config_.head, rows = heads * head;
    Planner::RowMap order = [](uint64_t row) { return row; };
    if (config_.family == HfConfig::Family::llama)
      order = [head](uint64_t row) { return row / head * head + row % 2 * (head / 2) + row % head / 2; };
    const std::string source = from_ + std::string(from), target = to_ + std::string(to);
    WENQU_RETURN_IF_ERROR(planner_.ordered(target + ".weight", source + ".weight", {d, rows}, rows, order));
    return biased() ? planner_.vector(target + ".bias", source + ".bias", rows, order) : Status();
  }

  Status gqa() {
    const uint64_t d = config_.hidden, head = config_.head, q = config_.heads * head, kv = config_.kv_heads * head;
    WENQU_RETURN_IF_ERROR(rotated("attn_q", "self_attn.q_proj", config_.heads));
    WENQU_RETURN_IF_ERROR(rotated("attn_k", "self_attn.k_proj", config_.kv_heads));
    WENQU_RETURN_IF_ERROR(matrix("attn_v.weight", "self_attn.v_proj.weight", d, kv));
    if (biased()) WENQU_RETURN_IF_ERROR(vector("attn_v.bias", "self_attn.v_proj.bias", kv));
    if (config_.family == HfConfig::Family::qwen3 || config_.family == HfConfig::Family::qwen3moe) {
      WENQU_RETURN_IF_ERROR(vector("attn_q_norm.weight", "self_attn.q_norm.weight", head));
      WENQU_RETURN_IF_ERROR(vector("attn_k_norm.weight", "self_attn.k_norm.weight", head));
    }
    return matrix("attn_output.weight", "self_attn.o_proj.weight", q, d);
  }

  Status feed_forward(std::string_view suffix, std::string_view from, uint64_t width) {
    const std::string folder(from);
    WENQU_RETURN_IF_ERROR(matrix(fmt::format("ffn_gate{}.weight", suffix), folder + "gate_proj.weight", config_.hidden, width));
    WENQU_RETURN_IF_ERROR(matrix(fmt::format("ffn_up{}.weight", suffix), folder + "up_proj.weight", config_.hidden, width));
    return matrix(fmt::format("ffn_down{}.weight", suffix), folder + "down_proj.weight", width, config_.hidden);
  }

  Status mixture() {
    const uint64_t d = config_.hidden, width = config_.expert_width, experts = config_.experts;
    WENQU_RETURN_IF_ERROR(matrix("ffn_gate_inp.weight", "mlp.gate.weight", d, experts));
    if (config_.biased)
      WENQU_RETURN_IF_ERROR(vector("exp_probs_b.bias", "mlp.gate.e_score_correction_bias", experts));
    const auto stack = [&](std::string_view name, uint64_t in, uint64_t out) {
      return planner_.stack(fmt::format("{}ffn_{}_exps.weight", to_, name), fmt::format("{}mlp.experts.*.{}_proj.weight", from_, name), in, out,
                            experts);
    };
    WENQU_RETURN_IF_ERROR(stack("gate", d, width));
    WENQU_RETURN_IF_ERROR(stack("up", d, width));
    WENQU_RETURN_IF_ERROR(stack("down", width, d));
    return config_.shared > 0 ? feed_forward("_shexp", "mlp.shared_experts.", width * config_.shared) : Status();
  }

  Planner& planner_;
  const HfConfig& config_;
  std::string from_, to_;
};

}  // namespace

Result<Layout> plan_layout(const Checkpoint& checkpoint, HfConfig& config) {
  if (!checkpoint.has(fmt::format("model.layers.{}.eh_proj.weight", config.layers))) config.next_token_layers = 0;
  Planner planner(checkpoint, config);
  WENQU_RETURN_IF_ERROR(planner.matrix("token_embd.weight", "model.embed_tokens.weight", config.hidden, config.vocabulary));
  WENQU_RETURN_IF_ERROR(planner.vector("output_norm.weight", "model.norm.weight", config.hidden));
  if (config.tied) planner.ignore("lm_head.weight");   // some checkpoints hold the embedding twice
  else WENQU_RETURN_IF_ERROR(planner.matrix("output.weight", "lm_head.weight", config.hidden, config.vocabulary));
  if (config.rope.scaling == HfRope::Scaling::llama3) planner.constant("rope_freqs.weight", rope_factors(config));
  for (uint32_t layer = 0; layer < config.layers + config.next_token_layers; ++layer) {
    LayerPlan plan(planner, config, layer);
    if (layer >= config.layers) WENQU_RETURN_IF_ERROR(plan.next_token());
    WENQU_RETURN_IF_ERROR(plan.all(config.is_moe(layer)));
  }
  return Layout{planner.take(), planner.left_over()};
}

}  // namespace wenqu::engine::convert
