#include "engine/model/weights.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "engine/cpu/blocks.h"
#include "engine/cpu/kernels.h"
#include "engine/model/tensor_loader.h"

namespace wenqu::engine {
namespace {

// The old form of MLA has one matrix from the latent to each head's unrotated key and value. Its value rows
// serve as they lie; its key rows are turned around, so that they carry a query into the latent space.
void derive_mla(const Matrix& kv_b, const Config& config, Layer& layer, Weights& weights) {
  const MlaConfig& mla = config.mla;
  const size_t heads = config.heads, nope = mla.nope, latent = mla.kv_lora, rows = nope + mla.value;
  layer.v_b = kv_b;
  layer.v_b.data = kv_b.row(0, nope);
  layer.v_b.outputs = mla.value;
  layer.v_b.stride_bytes = rows * kv_b.row_bytes;

  Matrix& k_b = layer.k_b;
  const bool plain = kv_b.type == gguf::Type::f32 || kv_b.type == gguf::Type::bf16;
  k_b.type = plain ? kv_b.type : gguf::Type::f16;
  const size_t size = k_b.type == gguf::Type::f32 ? 4 : 2;
  k_b.inputs = nope;
  k_b.outputs = latent;
  k_b.row_bytes = nope * size;
  k_b.stride_bytes = latent * k_b.row_bytes;
  std::vector<std::byte>& bytes = weights.derived.emplace_back(heads * k_b.stride_bytes);
  k_b.data = bytes.data();
  std::vector<float> row(latent);
  for (size_t h = 0; h < heads; ++h)
    for (size_t n = 0; n < nope; ++n) {
      cpu::dequantize_row(kv_b.type, kv_b.row(0, h * rows + n), latent, row.data());
      std::byte* out = bytes.data() + h * k_b.stride_bytes + n * size;
      for (size_t l = 0; l < latent; ++l, out += k_b.row_bytes) {
        const uint32_t bits = std::bit_cast<uint32_t>(row[l]);
        const uint16_t half = k_b.type == gguf::Type::bf16 ? static_cast<uint16_t>(bits >> 16) : cpu::float_to_half(row[l]);
        if (size == 4) std::memcpy(out, &bits, 4);
        else std::memcpy(out, &half, 2);
      }
    }
}

Status load_mla(TensorLoader& loader, const std::string& block, const Config& config, Layer& layer, Weights& weights) {
  const MlaConfig& mla = config.mla;
  const uint64_t d = config.embedding, heads = config.heads, head = mla.nope + mla.rope;
  if (mla.q_lora > 0) {
    WENQU_RETURN_IF_ERROR(loader.matrix(block + "attn_q_a.weight", {d, mla.q_lora}, layer.q_a));
    WENQU_RETURN_IF_ERROR(loader.vector(block + "attn_q_a_norm.weight", mla.q_lora, layer.q_a_norm));
    WENQU_RETURN_IF_ERROR(loader.matrix(block + "attn_q_b.weight", {mla.q_lora, heads * head}, layer.q_b));
  } else {
    WENQU_RETURN_IF_ERROR(loader.matrix(block + "attn_q.weight", {d, heads * head}, layer.q));
  }
  WENQU_RETURN_IF_ERROR(loader.matrix(block + "attn_kv_a_mqa.weight", {d, mla.kv_lora + mla.rope}, layer.kv_a));
  WENQU_RETURN_IF_ERROR(loader.vector(block + "attn_kv_a_norm.weight", mla.kv_lora, layer.kv_a_norm));
  if (loader.has(block + "attn_kv_b.weight") && !(loader.has(block + "attn_k_b.weight") && loader.has(block + "attn_v_b.weight"))) {
    Matrix kv_b;
    WENQU_RETURN_IF_ERROR(loader.matrix(block + "attn_kv_b.weight", {mla.kv_lora, heads * (uint64_t{mla.nope} + mla.value)}, kv_b));
    derive_mla(kv_b, config, layer, weights);
    // One of the two is of no use without the other.
    for (const char* name : {"attn_k_b.", "attn_v_b."}) loader.pass_over(block + name);
  } else {
    WENQU_RETURN_IF_ERROR(loader.matrix(block + "attn_k_b.weight", {mla.nope, mla.kv_lora, heads}, layer.k_b));
    WENQU_RETURN_IF_ERROR(loader.matrix(block + "attn_v_b.weight", {mla.kv_lora, mla.value, heads}, layer.v_b));
    loader.pass_over(block + "attn_kv_b.");
  }
  return loader.matrix(block + "attn_output.weight", {heads * mla.value, d}, layer.attention_output);
}

Status load_gqa(TensorLoader& loader, const std::string& block, const Config& config, Layer& layer) {
  const uint64_t d = config.embedding, q = uint64_t{config.heads} * config.head, kv = uint64_t{config.kv_heads} * config.head;
  // Qwen2 always has biases; elsewhere all layers have them or none has.
  const bool biased = config.architecture == Architecture::qwen2 || loader.has("blk.0.attn_q.bias") || loader.has("blk.0.attn_qkv.bias");
  if (loader.has(block + "attn_qkv.weight")) {
    // The rows of the three below each other.
    Matrix all;
    std::vector<float> bias;
    WENQU_RETURN_IF_ERROR(loader.matrix(block + "attn_qkv.weight", {d, q + 2 * kv}, all));
    if (biased) WENQU_RETURN_IF_ERROR(loader.vector(block + "attn_qkv.bias", q + 2 * kv, bias));
    const auto rows = [&](uint64_t first, uint64_t count, Matrix& matrix, std::vector<float>& part) {
      matrix = all;
      matrix.data = all.row(0, first);
      matrix.outputs = count;
      if (!bias.empty())
        part.assign(bias.begin() + static_cast<std::ptrdiff_t>(first), bias.begin() + static_cast<std::ptrdiff_t>(first + count));
    };
    rows(0, q, layer.q, layer.q_bias);
    rows(q, kv, layer.k, layer.k_bias);
    rows(q + kv, kv, layer.v, layer.v_bias);
  } else {
    WENQU_RETURN_IF_ERROR(loader.matrix(block + "attn_q.weight", {d, q}, layer.q));
    WENQU_RETURN_IF_ERROR(loader.matrix(block + "attn_k.weight", {d, kv}, layer.k));
    WENQU_RETURN_IF_ERROR(loader.matrix(block + "attn_v.weight", {d, kv}, layer.v));
    if (biased) {
      WENQU_RETURN_IF_ERROR(loader.vector(block + "attn_q.bias", q, layer.q_bias));
      WENQU_RETURN_IF_ERROR(loader.vector(block + "attn_k.bias", kv, layer.k_bias));
      WENQU_RETURN_IF_ERROR(loader.vector(block + "attn_v.bias", kv, layer.v_bias));
    }
  }
  if (config.normed_heads) {
    WENQU_RETURN_IF_ERROR(loader.vector(block + "attn_q_norm.weight", config.head, layer.q_norm));
    WENQU_RETURN_IF_ERROR(loader.vector(block + "attn_k_norm.weight", config.head, layer.k_norm));
  }
  return loader.matrix(block + "attn_output.weight", {q, d}, layer.attention_output);
}

Status load_feed_forward(TensorLoader& loader, const std::string& block, const Config& config, uint32_t index, Layer& layer) {
  const uint64_t d = config.embedding;
  const MoeConfig& moe = config.moe;
  layer.is_moe = moe.router.experts > 0 && index >= moe.leading_dense;
  const auto dense = [&](const std::string& suffix, uint64_t width) -> Status {
    WENQU_RETURN_IF_ERROR(loader.matrix(block + "ffn_gate" + suffix, {d, width}, layer.gate));
    WENQU_RETURN_IF_ERROR(loader.matrix(block + "ffn_up" + suffix, {d, width}, layer.up));
    return loader.matrix(block + "ffn_down" + suffix, {width, d}, layer.down);
  };
  if (!layer.is_moe) return dense(".weight", config.feed_forward);
  WENQU_RETURN_IF_ERROR(loader.matrix(block + "ffn_gate_inp.weight", {d, moe.router.experts}, layer.router));
  if (cpu::input_form(layer.router.type) != cpu::kPlain)
    return Status(StatusCode::unsupported, "the router must be F32, F16 or BF16", fmt::format("tensor '{}ffn_gate_inp.weight'", block));
  // All mixtures of the trunk have a bias or none has.
  const uint32_t like = index < config.layers ? moe.leading_dense : index;
  if (loader.has(fmt::format("blk.{}.exp_probs_b.bias", like)))
    WENQU_RETURN_IF_ERROR(loader.vector(block + "exp_probs_b.bias", moe.router.experts, layer.router_bias));
  WENQU_RETURN_IF_ERROR(loader.matrix(block + "ffn_gate_exps.weight", {d, moe.width, moe.router.experts}, layer.expert_gate));
  WENQU_RETURN_IF_ERROR(loader.matrix(block + "ffn_up_exps.weight", {d, moe.width, moe.router.experts}, layer.expert_up));
  WENQU_RETURN_IF_ERROR(loader.matrix(block + "ffn_down_exps.weight", {moe.width, d, moe.router.experts}, layer.expert_down));
  return moe.shared > 0 ? dense("_shexp.weight", uint64_t{moe.width} * moe.shared) : Status();
}

Status load_layer(TensorLoader& loader, uint32_t index, const Config& config, Layer& layer, Weights& weights) {
  const std::string block = fmt::format("blk.{}.", index);
  WENQU_RETURN_IF_ERROR(loader.vector(block + "attn_norm.weight", config.embedding, layer.attention_norm));
  WENQU_RETURN_IF_ERROR(loader.vector(block + "ffn_norm.weight", config.embedding, layer.ffn_norm));
  WENQU_RETURN_IF_ERROR(config.has_mla() ? load_mla(loader, block, config, layer, weights) : load_gqa(loader, block, config, layer));
  return load_feed_forward(loader, block, config, index, layer);
}

Status load_next_token_layer(TensorLoader& loader, uint32_t index, const Config& config, NextTokenLayer& next, Weights& weights) {
  const std::string block = fmt::format("blk.{}.nextn.", index);
  const uint64_t d = config.embedding;
  WENQU_RETURN_IF_ERROR(loader.vector(block + "enorm.weight", d, next.embedding_norm));
  WENQU_RETURN_IF_ERROR(loader.vector(block + "hnorm.weight", d, next.hidden_norm));
  WENQU_RETURN_IF_ERROR(loader.matrix(block + "eh_proj.weight", {2 * d, d}, next.projection));
  next.embedding = weights.embedding;
  next.output = weights.output;
  next.output_norm = weights.output_norm;
  if (loader.has(block + "embed_tokens.weight"))
    WENQU_RETURN_IF_ERROR(loader.matrix(block + "embed_tokens.weight", {d, config.vocabulary}, next.embedding));
  if (loader.has(block + "shared_head_head.weight"))
    WENQU_RETURN_IF_ERROR(loader.matrix(block + "shared_head_head.weight", {d, config.vocabulary}, next.output));
  WENQU_RETURN_IF_ERROR(loader.vector_if_any(block + "shared_head_norm.weight", d, next.output_norm));
  return load_layer(loader, index, config, next.layer, weights);
}

}  // namespace

uint64_t Weights::derived_bytes() const {
  uint64_t bytes = 0;
  for (const std::vector<std::byte>& matrix : derived) bytes += matrix.size();
  return bytes;
}

std::vector<const Layer*> Weights::mixtures() const {
  std::vector<const Layer*> all;
  for (const Layer& layer : layers)
    if (layer.is_moe) all.push_back(&layer);
  for (const NextTokenLayer& next : next_token_layers)
    if (next.layer.is_moe) all.push_back(&next.layer);
  return all;
}

Result<Weights> load_weights(const gguf::File& file, Config& config) {
  TensorLoader loader(file);
  Weights weights;
  const uint64_t d = config.embedding;
  const gguf::Tensor* embedding = file.tensor("token_embd.weight");
  config.vocabulary = embedding ? embedding->ne[1] : 0;
  if (config.vocabulary > INT32_MAX)
    return Status(StatusCode::corrupt, "has more rows than there can be tokens", "tensor 'token_embd.weight'");
  WENQU_RETURN_IF_ERROR(loader.matrix("token_embd.weight", {d, config.vocabulary}, weights.embedding));
  WENQU_RETURN_IF_ERROR(loader.vector("output_norm.weight", d, weights.output_norm));
  weights.output = weights.embedding;
  if (loader.has("output.weight")) WENQU_RETURN_IF_ERROR(loader.matrix("output.weight", {d, config.vocabulary}, weights.output));
  // Llama 3 stretches its slow frequencies by factors that the file carries.
  std::vector<float> factors;
  WENQU_RETURN_IF_ERROR(loader.vector_if_any("rope_freqs.weight", config.rope.frequencies.size(), factors));
  for (size_t i = 0; i < factors.size(); ++i) {
    if (!(factors[i] > 0))
      return Status(StatusCode::corrupt, fmt::format("has the factor {}, which is not above 0", factors[i]), "tensor 'rope_freqs.weight'");
    config.rope.frequencies[i] /= static_cast<double>(factors[i]);
  }
  weights.layers.resize(config.layers);
  for (uint32_t i = 0; i < config.layers; ++i) WENQU_RETURN_IF_ERROR(load_layer(loader, i, config, weights.layers[i], weights));
  weights.next_token_layers.resize(config.next_token_layers);
  for (uint32_t i = 0; i < config.next_token_layers; ++i)
    WENQU_RETURN_IF_ERROR(load_next_token_layer(loader, config.layers + i, config, weights.next_token_layers[i], weights));
  // Layers of multi-token prediction that the file does not count, and the head of a model that ranks texts, which is read by
  // whoever ranks with it: neither changes what is written.
  for (uint32_t i = config.layers + config.next_token_layers; loader.has(fmt::format("blk.{}.nextn.eh_proj.weight", i)); ++i)
    loader.pass_over(fmt::format("blk.{}.", i));
  loader.pass_over("cls.");
  WENQU_RETURN_IF_ERROR(loader.all_taken());
  size_t mixtures = 0;
  for (Layer& layer : weights.layers)
    if (layer.is_moe) layer.mixture = mixtures++;
  for (NextTokenLayer& next : weights.next_token_layers)
    if (next.layer.is_moe) next.layer.mixture = mixtures++;
  return weights;
}

}  // namespace wenqu::engine
