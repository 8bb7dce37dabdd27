#include "tests/support/reference_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "tests/support/mini_vocabulary.h"

namespace wenqu::test {
namespace {

constexpr size_t kWidth = 64, kHeads = 4, kFeedForward = 96;
constexpr size_t kHead = 24, kKvHeads = 2;                                             // not kWidth / kHeads
constexpr size_t kNope = 16, kRope = 8, kValue = 16, kQLora = 32, kKvLora = 32;        // deepseek2
constexpr size_t kExperts = 8, kUsed = 3, kShared = 2, kExpertWidth = 32, kGroups = 4, kGroupsUsed = 2;
constexpr double kEpsilon = 1e-6, kBase = 10000, kFactor = 40, kOriginal = 64, kLogMultiplier = 0.1, kScale = 2.5;

double silu(double x) { return x / (1 + std::exp(-x)); }

}  // namespace

void ReferenceModel::add(const std::string& name, std::vector<uint64_t> ne, double deviation, double mean) {
  std::mt19937 random(options_.seed * 7919u + static_cast<uint32_t>(tensors_.size()));
  std::normal_distribution<double> normal(mean, deviation);
  Tensor& tensor = tensors_[name];
  size_t count = 1;
  for (uint64_t n : ne) count *= n;
  tensor.ne = std::move(ne);
  for (size_t i = 0; i < count; ++i) tensor.values.push_back(static_cast<float>(normal(random)));
}

ReferenceModel::ReferenceModel(const ReferenceOptions& options) : options_(options), vocabulary_(MiniVocabulary().tokens.size() + 3) {
  const auto matrix = [&](const std::string& name, size_t in, size_t out, double scale = 1, size_t stack = 0) {
    std::vector<uint64_t> ne = {in, out};
    if (stack) ne.push_back(stack);
    add(name, ne, scale / std::sqrt(static_cast<double>(in)));
  };
  add("token_embd.weight", {kWidth, vocabulary_}, 1);
  add("output_norm.weight", {kWidth}, 0.1, 1);
  if (!options.tied) matrix("output.weight", kWidth, vocabulary_, 1.5);
  if (!options.deepseek && options.dense == "llama") {
    add("rope_freqs.weight", {kHead / 2}, 0);
    std::vector<float>& factors = tensors_["rope_freqs.weight"].values;
    for (size_t i = 0; i < factors.size(); ++i) factors[i] = 1 + 0.5f * static_cast<float>(i);
    if (!options.rope_factors.empty()) factors = options.rope_factors;
  }
  for (uint32_t l = 0; l < options.layers; ++l) {
    const std::string b = "blk." + std::to_string(l) + ".";
    add(b + "attn_norm.weight", {kWidth}, 0.1, 1);
    add(b + "ffn_norm.weight", {kWidth}, 0.1, 1);
    if (!options.deepseek) {
      matrix(b + "attn_q.weight", kWidth, kHeads * kHead, 1.5);
      matrix(b + "attn_k.weight", kWidth, kKvHeads * kHead, 1.5);
      matrix(b + "attn_v.weight", kWidth, kKvHeads * kHead, options.value_scale);
      if (options.dense == "qwen2") {
        add(b + "attn_q.bias", {kHeads * kHead}, 0.5);
        add(b + "attn_k.bias", {kKvHeads * kHead}, 0.5);
        add(b + "attn_v.bias", {kKvHeads * kHead}, 0.1);
      }
      if (options.dense.starts_with("qwen3")) {
        add(b + "attn_q_norm.weight", {kHead}, 0.1, 1);
        add(b + "attn_k_norm.weight", {kHead}, 0.1, 1);
      }
      matrix(b + "attn_output.weight", kHeads * kHead, kWidth);
    } else {
      if (options.q_lora) {
        matrix(b + "attn_q_a.weight", kWidth, kQLora);
        add(b + "attn_q_a_norm.weight", {kQLora}, 0.1, 1);
        matrix(b + "attn_q_b.weight", kQLora, kHeads * (kNope + kRope), 1.5);
      } else {
        matrix(b + "attn_q.weight", kWidth, kHeads * (kNope + kRope), 1.5);
      }
      matrix(b + "attn_kv_a_mqa.weight", kWidth, kKvLora + kRope, 1.5);
      add(b + "attn_kv_a_norm.weight", {kKvLora}, 0.1, 1);
      matrix(b + "attn_k_b.weight", kNope, kKvLora, 1, kHeads);
      matrix(b + "attn_v_b.weight", kKvLora, kValue, 1, kHeads);
      matrix(b + "attn_output.weight", kHeads * kValue, kWidth);
    }
    if (is_moe(l)) {
      matrix(b + "ffn_gate_inp.weight", kWidth, kExperts, 2);
      if (options.deepseek && options.sigmoid) add(b + "exp_probs_b.bias", {kExperts}, 0.1);
      matrix(b + "ffn_gate_exps.weight", kWidth, kExpertWidth, 1, kExperts);
      matrix(b + "ffn_up_exps.weight", kWidth, kExpertWidth, 1, kExperts);
      matrix(b + "ffn_down_exps.weight", kExpertWidth, kWidth, 1, kExperts);
      if (!options.deepseek) continue;
      matrix(b + "ffn_gate_shexp.weight", kWidth, kExpertWidth * kShared);
      matrix(b + "ffn_up_shexp.weight", kWidth, kExpertWidth * kShared);
      matrix(b + "ffn_down_shexp.weight", kExpertWidth * kShared, kWidth);
    } else {
      matrix(b + "ffn_gate.weight", kWidth, kFeedForward, options.weight_scale);
      matrix(b + "ffn_up.weight", kWidth, kFeedForward, options.weight_scale);
      matrix(b + "ffn_down.weight", kFeedForward, kWidth);
    }
  }
}

// attn_kv_b: for each head the rows that make its unrotated key of the latent, then those of its value.
void ReferenceModel::join_mla(std::map<std::string, Tensor>& tensors, const std::string& b) {
  const std::vector<float>& k_b = tensors.at(b + "attn_k_b.weight").values;
  const std::vector<float>& v_b = tensors.at(b + "attn_v_b.weight").values;
  Tensor& joined = tensors[b + "attn_kv_b.weight"];
  joined.ne = {kKvLora, kHeads * (kNope + kValue)};
  for (size_t h = 0; h < kHeads; ++h) {
    for (size_t n = 0; n < kNope; ++n)
      for (size_t l = 0; l < kKvLora; ++l) joined.values.push_back(k_b[(h * kKvLora + l) * kNope + n]);
    for (size_t i = 0; i < kValue * kKvLora; ++i) joined.values.push_back(v_b[h * kValue * kKvLora + i]);
  }
}

void ReferenceModel::join_qkv(std::map<std::string, Tensor>& tensors, const std::string& b) {
  for (const char* kind : {"weight", "bias"}) {
    if (!tensors.contains(b + "attn_q." + kind)) continue;
    Tensor joined = tensors.at(b + "attn_q." + kind);
    for (const char* other : {"attn_k.", "attn_v."}) {
      const Tensor& part = tensors.at(b + other + kind);
      joined.ne.back() += part.ne.back();
      joined.values.insert(joined.values.end(), part.values.begin(), part.values.end());
      tensors.erase(b + other + kind);
    }
    tensors.erase(b + "attn_q." + kind);
    tensors[b + "attn_qkv." + kind] = joined;
  }
}

bool ReferenceModel::is_moe(uint32_t layer) const { return options_.deepseek ? layer >= 1 : options_.dense == "qwen3moe"; }

GgufWriter ReferenceModel::writer() const {
  GgufWriter w;
  const std::string a = options_.deepseek ? "deepseek2" : options_.dense;
  w.set_string("general.architecture", a);
  w.set_string("general.name", "reference");
  w.set_u32(a + ".block_count", options_.layers + (options_.next_token ? 1 : 0));
  if (options_.next_token) w.set_u32(a + ".nextn_predict_layers", 1);
  w.set_u32(a + ".context_length", 2048);
  w.set_u32(a + ".embedding_length", kWidth);
  w.set_u32(a + ".feed_forward_length", kFeedForward);
  w.set_u32(a + ".attention.head_count", kHeads);
  w.set_f32(a + ".attention.layer_norm_rms_epsilon", static_cast<float>(kEpsilon));
  w.set_f32(a + ".rope.freq_base", static_cast<float>(kBase));
  if (!options_.deepseek) {
    w.set_u32(a + ".attention.head_count_kv", kKvHeads);
    w.set_u32(a + ".attention.key_length", kHead);
    w.set_u32(a + ".attention.value_length", kHead);
    if (options_.dense == "qwen3moe") {
      w.set_u32(a + ".expert_count", kExperts);
      w.set_u32(a + ".expert_used_count", kUsed);
      w.set_u32(a + ".expert_feed_forward_length", kExpertWidth);
    }
  } else {
    const bool old_keys = options_.mla_form == ReferenceOptions::MlaForm::joined;
    w.set_u32(a + ".attention.head_count_kv", old_keys ? kHeads : 1);
    if (options_.q_lora) w.set_u32(a + ".attention.q_lora_rank", kQLora);
    w.set_u32(a + ".attention.kv_lora_rank", kKvLora);
    w.set_u32(a + ".attention.key_length", old_keys ? kNope + kRope : kKvLora + kRope);
    w.set_u32(a + ".attention.value_length", old_keys ? kValue : kKvLora);
    if (!old_keys) w.set_u32(a + ".attention.key_length_mla", kNope + kRope);
    if (!old_keys) w.set_u32(a + ".attention.value_length_mla", kValue);
    w.set_u32(a + ".rope.dimension_count", kRope);
    w.set_u32(a + ".leading_dense_block_count", 1);
    w.set_u32(a + ".expert_count", kExperts);
    w.set_u32(a + ".expert_used_count", kUsed);
    w.set_u32(a + ".expert_shared_count", kShared);
    w.set_u32(a + ".expert_feed_forward_length", kExpertWidth);
    w.set_f32(a + ".expert_weights_scale", static_cast<float>(kScale));
    w.set_bool(a + ".expert_weights_norm", options_.sigmoid);
    w.set_u32(a + ".expert_gating_func", options_.sigmoid ? 2 : 1);
    if (options_.sigmoid) {
      w.set_u32(a + ".expert_group_count", kGroups);
      w.set_u32(a + ".expert_group_used_count", kGroupsUsed);
    }
    if (options_.yarn) {
      w.set_string(a + ".rope.scaling.type", "yarn");
      w.set_f32(a + ".rope.scaling.factor", static_cast<float>(kFactor));
      w.set_u32(a + ".rope.scaling.original_context_length", static_cast<uint32_t>(kOriginal));
      w.set_f32(a + ".rope.scaling.yarn_log_multiplier", static_cast<float>(kLogMultiplier));
    }
  }
  MiniVocabulary().write(w, options_.deepseek ? "deepseek-v3" : "qwen2", true);
  std::map<std::string, Tensor> tensors = tensors_;
  for (uint32_t l = 0; l < options_.layers; ++l) {
    const std::string b = "blk." + std::to_string(l) + ".";
    if (options_.deepseek && options_.mla_form != ReferenceOptions::MlaForm::split) join_mla(tensors, b);
    if (options_.deepseek && options_.mla_form == ReferenceOptions::MlaForm::joined) {
      tensors.erase(b + "attn_k_b.weight");
      tensors.erase(b + "attn_v_b.weight");
    }
    if (options_.joined_qkv) join_qkv(tensors, b);
  }
  if (options_.next_token) {
    // The last layer once more, and what leads into it.
    const std::string last = "blk." + std::to_string(options_.layers - 1) + ".", next = "blk." + std::to_string(options_.layers) + ".";
    for (const auto& [name, tensor] : std::map(tensors))
      if (name.starts_with(last)) tensors[next + name.substr(last.size())] = tensor;
    const std::vector<float> ones(kWidth, 1);
    tensors[next + "nextn.enorm.weight"] = {{kWidth}, ones};
    tensors[next + "nextn.hnorm.weight"] = {{kWidth}, ones};
    tensors[next + "nextn.eh_proj.weight"] = {{2 * kWidth, kWidth}, std::vector<float>(2 * kWidth * kWidth, 0.01f)};
  }
  for (const auto& [name, tensor] : tensors) w.add_tensor(name, engine::gguf::Type::f32, tensor.ne, f32_bytes(tensor.values));
  return w;
}

ReferenceModel::Vector ReferenceModel::multiply(const std::string& name, const Vector& x, size_t matrix) const {
  const Tensor& t = tensors_.at(name);
  const size_t in = t.ne[0], out = t.ne[1];
  Vector y(out);
  for (size_t o = 0; o < out; ++o)
    for (size_t i = 0; i < in; ++i) y[o] += static_cast<double>(t.values[(matrix * out + o) * in + i]) * x[i];
  return y;
}

ReferenceModel::Vector ReferenceModel::norm(const std::string& name, const Vector& x) const {
  const std::vector<float>& weight = tensors_.at(name).values;
  double square = 0;
  for (size_t i = 0; i < weight.size(); ++i) square += x[i] * x[i];
  const double factor = 1 / std::sqrt(square / static_cast<double>(weight.size()) + kEpsilon);
  Vector y(x);
  for (size_t i = 0; i < weight.size(); ++i) y[i] = x[i] * factor * weight[i];
  return y;
}

// Qwen pairs the halves of a head, deepseek2 and llama neighbours; YaRN as arXiv 2309.00071 has it.
void ReferenceModel::rotate(double* x, size_t position) const {
  const size_t n = options_.deepseek ? kRope : kHead;
  const auto correction = [&](double rotations) {
    return static_cast<double>(n) * std::log(kOriginal / (rotations * 2 * M_PI)) / (2 * std::log(kBase));
  };
  const double low = std::max(0.0, std::floor(correction(32))), high = std::min(n - 1.0, std::ceil(correction(1)));
  for (size_t i = 0; i < n / 2; ++i) {
    const double theta = static_cast<double>(position) * std::pow(kBase, -2.0 * static_cast<double>(i) / static_cast<double>(n));
    double angle = theta;
    if (options_.deepseek && options_.yarn) {
      const double gamma = 1 - std::clamp((static_cast<double>(i) - low) / std::max(0.001, high - low), 0.0, 1.0);
      angle = theta / kFactor * (1 - gamma) + theta * gamma;
    }
    if (const auto factors = tensors_.find("rope_freqs.weight"); factors != tensors_.end())
      angle /= static_cast<double>(factors->second.values[i]);
    double& a = adjacent_pairs() ? x[2 * i] : x[i];
    double& b = adjacent_pairs() ? x[2 * i + 1] : x[i + n / 2];
    const double a0 = a, b0 = b;
    a = a0 * std::cos(angle) - b0 * std::sin(angle);
    b = a0 * std::sin(angle) + b0 * std::cos(angle);
  }
}

namespace {

// softmax(scores) applied to rows of values.
std::vector<double> weigh(std::vector<double> scores, const std::vector<std::vector<double>>& values) {
  const double top = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& s : scores) sum += s = std::exp(s - top);
  std::vector<double> out(values[0].size());
  for (size_t j = 0; j < values.size(); ++j)
    for (size_t i = 0; i < out.size(); ++i) out[i] += scores[j] / sum * values[j][i];
  return out;
}

}  // namespace

ReferenceModel::Vector ReferenceModel::gqa(const std::string& b, const std::vector<Vector>& history) const {
  const auto projected = [&](const char* name, const Vector& x) {
    Vector y = multiply(b + name + ".weight", x);
    if (const auto bias = tensors_.find(b + name + ".bias"); bias != tensors_.end())
      for (size_t i = 0; i < y.size(); ++i) y[i] += static_cast<double>(bias->second.values[i]);
    return y;
  };
  const auto place = [&](const char* weight, double* head, size_t position) {
    if (tensors_.contains(b + weight)) {
      const Vector normed = norm(b + weight, Vector(head, head + kHead));
      std::copy(normed.begin(), normed.end(), head);
    }
    rotate(head, position);
  };
  Vector q = projected("attn_q", history.back()), joined;
  for (size_t h = 0; h < kHeads; ++h) {
    place("attn_q_norm.weight", q.data() + h * kHead, history.size() - 1);
    const size_t shared = h / (kHeads / kKvHeads);
    std::vector<double> scores;
    std::vector<Vector> values;
    for (size_t j = 0; j < history.size(); ++j) {
      Vector k = projected("attn_k", history[j]);
      const Vector v = projected("attn_v", history[j]);
      place("attn_k_norm.weight", k.data() + shared * kHead, j);
      double score = 0;
      for (size_t i = 0; i < kHead; ++i) score += q[h * kHead + i] * k[shared * kHead + i];
      scores.push_back(score / std::sqrt(static_cast<double>(kHead)));
      values.emplace_back(v.begin() + static_cast<long>(shared * kHead), v.begin() + static_cast<long>((shared + 1) * kHead));
    }
    const Vector out = weigh(scores, values);
    joined.insert(joined.end(), out.begin(), out.end());
  }
  return multiply(b + "attn_output.weight", joined);
}

ReferenceModel::Vector ReferenceModel::mla(const std::string& b, const std::vector<Vector>& history) const {
  Vector q = options_.q_lora ? multiply(b + "attn_q_b.weight", norm(b + "attn_q_a_norm.weight", multiply(b + "attn_q_a.weight", history.back())))
                             : multiply(b + "attn_q.weight", history.back());
  const double m = options_.yarn ? kLogMultiplier * std::log(kFactor) + 1 : 1;
  const double scale = m * m / std::sqrt(static_cast<double>(kNope + kRope));
  const std::vector<float>& k_b = tensors_.at(b + "attn_k_b.weight").values;
  Vector joined;
  for (size_t h = 0; h < kHeads; ++h) {
    double* query = q.data() + h * (kNope + kRope);
    rotate(query + kNope, history.size() - 1);
    std::vector<double> scores;
    std::vector<Vector> values;
    for (size_t j = 0; j < history.size(); ++j) {
      Vector kv = multiply(b + "attn_kv_a_mqa.weight", history[j]);
      rotate(kv.data() + kKvLora, j);
      const Vector latent = norm(b + "attn_kv_a_norm.weight", kv);
      double score = 0;
      for (size_t n = 0; n < kNope; ++n) {
        double key = 0;   // decompressed
        for (size_t l = 0; l < kKvLora; ++l) key += static_cast<double>(k_b[(h * kKvLora + l) * kNope + n]) * latent[l];
        score += query[n] * key;
      }
      for (size_t r = 0; r < kRope; ++r) score += query[kNope + r] * kv[kKvLora + r];
      scores.push_back(score * scale);
      values.push_back(multiply(b + "attn_v_b.weight", latent, h));
    }
    const Vector out = weigh(scores, values);
    joined.insert(joined.end(), out.begin(), out.end());
  }
  return multiply(b + "attn_output.weight", joined);
}

ReferenceModel::Vector ReferenceModel::gated(const std::string& b, const std::string& suffix, const Vector& x, size_t matrix) const {
  Vector gate = multiply(b + "ffn_gate" + suffix, x, matrix);
  const Vector up = multiply(b + "ffn_up" + suffix, x, matrix);
  for (size_t i = 0; i < gate.size(); ++i) gate[i] = silu(gate[i]) * up[i];
  return multiply(b + "ffn_down" + suffix, gate, matrix);
}

ReferenceModel::Vector ReferenceModel::feed_forward(const std::string& b, const Vector& x, uint32_t layer) const {
  if (!is_moe(layer)) return gated(b, ".weight", x, 0);
  const bool sigmoid = options_.deepseek && options_.sigmoid;
  const bool normalized = sigmoid || !options_.deepseek;   // Qwen3's always are
  Vector scores = multiply(b + "ffn_gate_inp.weight", x);
  if (sigmoid) {
    for (double& s : scores) s = 1 / (1 + std::exp(-s));
  } else {
    double sum = 0;
    for (double& s : scores) sum += s = std::exp(s);
    for (double& s : scores) s /= sum;
  }
  Vector choice = scores;
  if (sigmoid) {
    for (size_t e = 0; e < kExperts; ++e) choice[e] += tensors_.at(b + "exp_probs_b.bias").values[e];
    const size_t size = kExperts / kGroups;
    std::vector<std::pair<double, size_t>> groups;
    for (size_t g = 0; g < kGroups; ++g) {
      Vector members(choice.begin() + static_cast<long>(g * size), choice.begin() + static_cast<long>((g + 1) * size));
      std::sort(members.rbegin(), members.rend());
      groups.emplace_back(-(members[0] + members[1]), g);
    }
    std::sort(groups.begin(), groups.end());
    for (size_t k = kGroupsUsed; k < kGroups; ++k)
      for (size_t i = 0; i < size; ++i) choice[groups[k].second * size + i] = -INFINITY;
  }
  std::vector<size_t> order(kExperts);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t p, size_t q) { return choice[p] > choice[q]; });
  double sum = 0;
  for (size_t k = 0; k < kUsed; ++k) sum += scores[order[k]];
  Vector out = options_.deepseek ? gated(b, "_shexp.weight", x, 0) : Vector(kWidth);
  for (size_t k = 0; k < kUsed; ++k) {
    const double weight = scores[order[k]] / (normalized ? sum : 1) * (options_.deepseek ? kScale : 1);
    const Vector y = gated(b, "_exps.weight", x, order[k]);
    for (size_t i = 0; i < out.size(); ++i) out[i] += weight * y[i];
  }
  return out;
}

std::vector<std::vector<double>> ReferenceModel::logits(const std::vector<int32_t>& tokens) const {
  const std::vector<float>& embedding = tensors_.at("token_embd.weight").values;
  std::vector<std::vector<Vector>> histories(options_.layers);   // normed inputs of each layer's attention
  std::vector<std::vector<double>> all;
  for (int32_t token : tokens) {
    const auto row = embedding.begin() + static_cast<long>(static_cast<size_t>(token) * kWidth);
    Vector h(row, row + kWidth);
    for (uint32_t l = 0; l < options_.layers; ++l) {
      const std::string b = "blk." + std::to_string(l) + ".";
      histories[l].push_back(norm(b + "attn_norm.weight", h));
      const Vector attended = options_.deepseek ? mla(b, histories[l]) : gqa(b, histories[l]);
      for (size_t i = 0; i < kWidth; ++i) h[i] += attended[i];
      const Vector forward = feed_forward(b, norm(b + "ffn_norm.weight", h), l);
      for (size_t i = 0; i < kWidth; ++i) h[i] += forward[i];
    }
    all.push_back(multiply(options_.tied ? "token_embd.weight" : "output.weight", norm("output_norm.weight", h)));
  }
  return all;
}

}  // namespace wenqu::test
