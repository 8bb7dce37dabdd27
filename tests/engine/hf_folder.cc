#include "tests/engine/hf_folder.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/support/mini_vocabulary.h"

namespace wenqu::test {
namespace {

std::string list_of(const std::vector<uint64_t>& numbers) {
  std::string out = "[";
  for (uint64_t n : numbers) out += (out.size() > 1 ? "," : "") + std::to_string(n);
  return out + "]";
}

// GGUF's name of a layer's tensor to Hugging Face's.
const std::map<std::string, std::string> kLayerNames = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_q.bias", "self_attn.q_proj.bias"},
    {"attn_k.bias", "self_attn.k_proj.bias"},
    {"attn_v.bias", "self_attn.v_proj.bias"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_q_a.weight", "self_attn.q_a_proj.weight"},
    {"attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight"},
    {"attn_q_b.weight", "self_attn.q_b_proj.weight"},
    {"attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight"},
    {"attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"ffn_gate_inp.weight", "mlp.gate.weight"},
    {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"},
    {"ffn_gate_shexp.weight", "mlp.shared_experts.gate_proj.weight"},
    {"ffn_up_shexp.weight", "mlp.shared_experts.up_proj.weight"},
    {"ffn_down_shexp.weight", "mlp.shared_experts.down_proj.weight"},
};

// Rows of neighbouring pairs back to rows of two halves, head by head.
std::vector<float> in_halves(const ReferenceModel::Tensor& tensor, size_t head) {
  const size_t columns = tensor.ne[0];
  std::vector<float> out(tensor.values.size());
  for (size_t row = 0; row < tensor.ne[1]; ++row) {
    const size_t pair = row % head / 2, side = row % 2, to = row / head * head + side * head / 2 + pair;
    std::copy_n(&tensor.values[row * columns], columns, &out[to * columns]);
  }
  return out;
}

void fill_layer(HfFolder& folder, const ReferenceModel& model, const std::string& from, const std::string& to, bool llama, size_t head) {
  for (const auto& [name, tensor] : model.tensors()) {
    if (!name.starts_with(from)) continue;
    const std::string rest = name.substr(from.size());
    std::vector<uint64_t> shape(tensor.ne.rbegin(), tensor.ne.rend());
    if (const auto known = kLayerNames.find(rest); known != kLayerNames.end()) {
      const bool permuted = llama && (rest == "attn_q.weight" || rest == "attn_k.weight");
      folder.add_f32(to + known->second, shape, permuted ? in_halves(tensor, head) : tensor.values);
    } else if (rest.ends_with("_exps.weight")) {
      const std::string kind = rest.substr(4, rest.find("_exps") - 4);
      const size_t size = tensor.ne[0] * tensor.ne[1];
      for (size_t e = 0; e < tensor.ne[2]; ++e)
        folder.add_f32(to + "mlp.experts." + std::to_string(e) + "." + kind + "_proj.weight", {shape[1], shape[2]},
                       {&tensor.values[e * size], &tensor.values[e * size] + size});
    }
  }
  if (!model.tensors().contains(from + "attn_k_b.weight")) return;
  const ReferenceModel::Tensor &k_b = model.tensors().at(from + "attn_k_b.weight"), &v_b = model.tensors().at(from + "attn_v_b.weight");
  const size_t nope = k_b.ne[0], latent = k_b.ne[1], heads = k_b.ne[2], value = v_b.ne[1];
  std::vector<float> joined;
  for (size_t h = 0; h < heads; ++h) {
    for (size_t n = 0; n < nope; ++n)
      for (size_t l = 0; l < latent; ++l) joined.push_back(k_b.values[(h * latent + l) * nope + n]);
    const auto first = v_b.values.begin() + static_cast<long>(h * value * latent);
    joined.insert(joined.end(), first, first + static_cast<long>(value * latent));
  }
  folder.add_f32(to + "self_attn.kv_b_proj.weight", {heads * (nope + value), latent}, joined);
}

// The sizes are those of the reference's tensors; the rest is what its formulas say.
void fill_config(HfFolder& folder, const ReferenceModel& model, const ReferenceOptions& options) {
  const auto ne = [&](const std::string& name, size_t d) { return model.tensors().at(name).ne[d]; };
  auto& config = folder.config;
  const auto set = [&](const char* name, uint64_t value) { config[name] = std::to_string(value); };
  config["model_type"] = options.deepseek ? options.sigmoid ? "\"deepseek_v3\"" : "\"deepseek_v2\""
                         : options.dense == "qwen3moe" ? "\"qwen3_moe\"" : json_text(options.dense);
  config["hidden_act"] = "\"silu\"";
  config["rms_norm_eps"] = "1e-06";
  config["rope_theta"] = "10000.0";
  config["tie_word_embeddings"] = options.tied ? "true" : "false";
  config["bos_token_id"] = std::to_string(MiniVocabulary().bos);
  config["eos_token_id"] = std::to_string(MiniVocabulary().eos);
  set("hidden_size", ne("token_embd.weight", 0)), set("vocab_size", ne("token_embd.weight", 1));
  set("num_hidden_layers", options.layers), set("num_attention_heads", 4), set("max_position_embeddings", 2048);
  set("intermediate_size", model.tensors().contains("blk.0.ffn_up.weight") ? ne("blk.0.ffn_up.weight", 1) : 96);
  if (!options.deepseek) {
    const uint64_t head = ne("blk.0.attn_q.weight", 1) / 4;
    set("head_dim", head), set("num_key_value_heads", ne("blk.0.attn_k.weight", 1) / head);
    if (options.dense != "qwen3moe") return;
    set("num_experts", ne("blk.0.ffn_gate_inp.weight", 1)), set("num_experts_per_tok", 3);
    set("moe_intermediate_size", ne("blk.0.ffn_up_exps.weight", 1));
    config["norm_topk_prob"] = "true", config["decoder_sparse_step"] = "1", config["mlp_only_layers"] = "[]";
    return;
  }
  config["q_lora_rank"] = options.q_lora ? std::to_string(ne("blk.0.attn_q_a.weight", 1)) : "null";
  set("kv_lora_rank", ne("blk.0.attn_kv_a_norm.weight", 0)), set("qk_nope_head_dim", ne("blk.0.attn_k_b.weight", 0));
  set("qk_rope_head_dim", ne("blk.0.attn_kv_a_mqa.weight", 1) - ne("blk.0.attn_kv_a_norm.weight", 0));
  set("v_head_dim", ne("blk.0.attn_v_b.weight", 1));
  set("n_routed_experts", ne("blk.1.ffn_gate_inp.weight", 1)), set("num_experts_per_tok", 3), set("first_k_dense_replace", 1);
  set("moe_intermediate_size", ne("blk.1.ffn_up_exps.weight", 1));
  set("n_shared_experts", ne("blk.1.ffn_up_shexp.weight", 1) / ne("blk.1.ffn_up_exps.weight", 1));
  config["routed_scaling_factor"] = "2.5", config["moe_layer_freq"] = "1";
  config["norm_topk_prob"] = options.sigmoid ? "true" : "false";
  config["scoring_func"] = options.sigmoid ? "\"sigmoid\"" : "\"softmax\"";
  config["topk_method"] = options.sigmoid ? "\"noaux_tc\"" : "\"greedy\"";
  config["n_group"] = options.sigmoid ? "4" : "1", config["topk_group"] = options.sigmoid ? "2" : "1";
  config["num_nextn_predict_layers"] = options.next_token ? "1" : "0";
  if (options.yarn)
    config["rope_scaling"] = R"({"type":"yarn","factor":40,"original_max_position_embeddings":64,"beta_fast":32,"beta_slow":1,)"
                             R"("mscale":1.0,"mscale_all_dim":1.0})";
}

}  // namespace

const std::vector<std::string> kQwen2Patterns = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
const std::vector<std::string> kLlamaPatterns = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
const std::vector<std::string> kV3Patterns = {
    R"(\p{N}{1,3})", "[一-龥぀-ゟ゠-ヿ]+",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') out += "\\n";
    else if (c == '\r') out += "\\r";
    else out += c;
  }
  return out + "\"";
}

HfFolder::HfFolder(std::string path) : path_(std::move(path)) { std::filesystem::create_directories(path_); }
HfFolder::~HfFolder() { std::filesystem::remove_all(path_); }

void HfFolder::write_file(const std::string& name, const std::string& content) const {
  std::ofstream(path_ + "/" + name, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
}

void HfFolder::add_f32(const std::string& name, std::vector<uint64_t> shape, const std::vector<float>& values) {
  tensors[name] = {"F32", std::move(shape), f32_bytes(values)};
}

void HfFolder::write(size_t shards) const {
  std::string json;
  for (const auto& [name, value] : config) json += (json.empty() ? "{" : ",") + json_text(name) + ":" + value;
  write_file("config.json", json + "}");
  if (shards == 1) return write_file("model.safetensors", safetensors_bytes(tensors));
  std::string map;
  for (size_t s = 0; s < shards; ++s) {
    const std::string file = "model-" + std::to_string(s) + ".safetensors";
    std::map<std::string, Tensor> part;
    size_t i = 0;
    for (const auto& [name, tensor] : tensors)
      if (i++ % shards == s) part[name] = tensor, map += (map.empty() ? "" : ",") + json_text(name) + ":" + json_text(file);
    write_file(file, safetensors_bytes(part));
  }
  write_file("model.safetensors.index.json", "{\"metadata\":{},\"weight_map\":{" + map + "}}");
}

std::string safetensors_bytes(const std::map<std::string, HfFolder::Tensor>& tensors) {
  std::string header = R"({"__metadata__":{"format":"pt"})", data;
  for (const auto& [name, tensor] : tensors) {
    header += "," + json_text(name) + R"(:{"dtype":")" + tensor.dtype + R"(","shape":)" + list_of(tensor.shape) + R"(,"data_offsets":)" +
              list_of({data.size(), data.size() + tensor.bytes.size()}) + "}";
    data += tensor.bytes;
  }
  header += "}";
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header + data;
}

std::string mini_tokenizer_json(const std::vector<std::string>& patterns) {
  const MiniVocabulary mini;
  std::string words, merges, added, splits;
  const auto comma = [](const std::string& list) { return std::string(list.empty() ? "" : ","); };
  for (size_t i = 0; i < mini.tokens.size(); ++i) {
    const std::string text = json_text(mini.tokens[i]), id = std::to_string(i);
    if (mini.kinds[i] == 1) words += comma(words) + text + ":" + id;
    else added += comma(added) + R"({"id":)" + id + R"(,"content":)" + text + R"(,"special":)" + (mini.kinds[i] == 3 ? "true}" : "false}");
  }
  for (const std::string& merge : mini.merges) merges += comma(merges) + json_text(merge);
  for (const std::string& pattern : patterns)
    splits += R"({"type":"Split","pattern":{"Regex":)" + json_text(pattern) + R"(},"behavior":"Isolated","invert":false},)";
  return R"({"version":"1.0","added_tokens":[)" + added + R"(],"pre_tokenizer":{"type":"Sequence","pretokenizers":[)" + splits +
         R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]},"model":{"type":"BPE","vocab":{)" + words +
         R"(},"merges":[)" + merges + "]}}";
}

void fill(HfFolder& folder, const ReferenceOptions& options) {
  const ReferenceModel model(options);
  folder.tensors.clear();
  fill_config(folder, model, options);
  const auto top = [&](const char* from, const char* to) {
    const auto found = model.tensors().find(from);
    if (found == model.tensors().end()) return;
    folder.add_f32(to, {found->second.ne.rbegin(), found->second.ne.rend()}, found->second.values);
  };
  top("token_embd.weight", "model.embed_tokens.weight");
  top("output_norm.weight", "model.norm.weight");
  top("output.weight", "lm_head.weight");
  const bool llama = !options.deepseek && options.dense == "llama";
  const size_t head = options.deepseek ? 0 : model.tensors().at("blk.0.attn_q.weight").ne[1] / 4;
  for (uint32_t l = 0; l < options.layers; ++l)
    fill_layer(folder, model, "blk." + std::to_string(l) + ".", "model.layers." + std::to_string(l) + ".", llama, head);
  if (options.next_token) {
    const std::string next = "model.layers." + std::to_string(options.layers) + ".";
    fill_layer(folder, model, "blk." + std::to_string(options.layers - 1) + ".", next, false, 0);
    const uint64_t d = model.tensors().at("output_norm.weight").ne[0];
    folder.add_f32(next + "enorm.weight", {d}, std::vector<float>(d, 2));
    folder.add_f32(next + "hnorm.weight", {d}, std::vector<float>(d, 3));
    std::vector<float> projection(2 * d * d);
    for (size_t i = 0; i < projection.size(); ++i) projection[i] = static_cast<float>(i);
    folder.add_f32(next + "eh_proj.weight", {d, 2 * d}, projection);
    folder.tensors[next + "embed_tokens.weight"] = folder.tensors["model.embed_tokens.weight"];
    folder.tensors[next + "shared_head.head.weight"] = folder.tensors["lm_head.weight"];
    folder.add_f32(next + "shared_head.norm.weight", {d}, std::vector<float>(d, 4));
  }
  folder.write_file("tokenizer.json", mini_tokenizer_json(options.deepseek ? kV3Patterns : llama ? kLlamaPatterns : kQwen2Patterns));
  folder.write_file("tokenizer_config.json", R"({"add_bos_token":true,"bos_token":{"content":"<｜begin▁of▁sentence｜>"},)"
                                             R"("eos_token":"<｜end▁of▁sentence｜>","chat_template":"<｜User｜>x<｜Assistant｜>"})");
}

}  // namespace wenqu::test
