#include "tests/support/reference_encoder.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace wenqu::test {
namespace {

constexpr size_t kWidth = 64, kHeads = 4, kHead = kWidth / kHeads, kFeedForward = 96;
constexpr double kEpsilon = 1e-12;

std::vector<std::string> bert_vocabulary() {
  std::vector<std::string> tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  for (char c = 'a'; c <= 'z'; ++c) tokens.push_back(std::string("\u2581") + c), tokens.push_back(std::string(1, c));
  for (char c = '0'; c <= '9'; ++c) tokens.push_back(std::string("\u2581") + c), tokens.push_back(std::string(1, c));
  for (const char* word : {"\u2581the", "\u2581bridge", "\u2581stone", "ing", "ed", "\u2581un", "able", "\u2581.", "\u2581,", "\u2581!",
                           "\u2581桥", "\u2581石", "\u2581水", "\u2581cafe"})
    tokens.push_back(word);
  return tokens;
}

std::vector<std::string> unigram_vocabulary() {
  std::vector<std::string> tokens = {"<s>", "<pad>", "</s>", "<unk>", "\u2581"};
  for (char c = 'a'; c <= 'z'; ++c) tokens.push_back(std::string(1, c));
  for (const char* word : {"\u2581the", "\u2581bri", "dge", "bridge", "\u2581stone", "stones", "ing", "桥", "石", "石桥", ".", ","})
    tokens.push_back(word);
  return tokens;
}

}  // namespace

void ReferenceEncoder::add(const std::string& name, std::vector<uint64_t> ne, double deviation, double mean) {
  std::mt19937 random(options_.seed * 7919u + static_cast<uint32_t>(tensors_.size()));
  std::normal_distribution<double> normal(mean, deviation);
  Tensor& tensor = tensors_[name];
  size_t count = 1;
  for (const uint64_t n : ne) count *= n;
  tensor.ne = std::move(ne);
  for (size_t i = 0; i < count; ++i) tensor.values.push_back(static_cast<float>(normal(random)));
}

void ReferenceEncoder::add_affine(const std::string& name, size_t in, size_t out) {
  add(name + ".weight", {in, out}, 1.5 / std::sqrt(static_cast<double>(in)));
  add(name + ".bias", {out}, 0.3);
}

void ReferenceEncoder::add_norm(const std::string& name) {
  add(name + ".weight", {kWidth}, 0.1, 1);
  add(name + ".bias", {kWidth}, 0.2);
}

ReferenceEncoder::ReferenceEncoder(const EncoderOptions& options)
    : options_(options), vocabulary_(options.unigram ? unigram_vocabulary() : bert_vocabulary()) {
  add("token_embd.weight", {kWidth, vocabulary_.size()}, 1);
  add("position_embd.weight", {kWidth, options.context}, 0.5);
  if (options.token_types > 0) add("token_types.weight", {kWidth, options.token_types}, 0.5);
  add_norm("token_embd_norm");
  for (uint32_t l = 0; l < options.layers; ++l) {
    const std::string block = "blk." + std::to_string(l) + ".";
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) add_affine(block + name, kWidth, kWidth);
    add_norm(block + "attn_output_norm");
    add_affine(block + "ffn_up", kWidth, kFeedForward);
    add_affine(block + "ffn_down", kFeedForward, kWidth);
    add_norm(block + "layer_output_norm");
  }
  if (options.pooling != 4) return;
  if (options.dense_head) add_affine("cls", kWidth, kWidth);
  add_affine("cls.output", kWidth, 1);
}

int32_t ReferenceEncoder::id(const std::string& token) const {
  return static_cast<int32_t>(std::find(vocabulary_.begin(), vocabulary_.end(), token) - vocabulary_.begin());
}

GgufWriter ReferenceEncoder::writer() const {
  GgufWriter file;
  file.set_string("general.architecture", "bert");
  file.set_string("general.name", "reference encoder");
  file.set_u32("bert.block_count", options_.layers);
  file.set_u32("bert.context_length", options_.context);
  file.set_u32("bert.embedding_length", kWidth);
  file.set_u32("bert.feed_forward_length", kFeedForward);
  file.set_u32("bert.attention.head_count", kHeads);
  file.set_f32("bert.attention.layer_norm_epsilon", static_cast<float>(kEpsilon));
  file.set_bool("bert.attention.causal", false);
  file.set_u32("bert.pooling_type", options_.pooling);
  file.set_string("tokenizer.ggml.model", options_.unigram ? "t5" : "bert");
  file.set_strings("tokenizer.ggml.tokens", vocabulary_);
  file.set_u32("tokenizer.ggml.token_type_count", options_.token_types);
  std::vector<int32_t> kinds(vocabulary_.size(), 1);
  if (options_.unigram) {
    for (const size_t control : {0u, 1u, 2u}) kinds[control] = 3;
    kinds[3] = 2;
    std::vector<float> scores;
    for (const std::string& text : vocabulary_) scores.push_back(text.size() > 5 ? -4 : text == "\u2581" || text.size() == 1 ? -6 : -4.5f);
    file.set_f32s("tokenizer.ggml.scores", scores);
    file.set_u32("tokenizer.ggml.bos_token_id", 0);
    file.set_u32("tokenizer.ggml.eos_token_id", 2);
    file.set_u32("tokenizer.ggml.unknown_token_id", 3);
  } else {
    for (size_t control = 0; control < 5; ++control) kinds[control] = control == 1 ? 2 : 3;
    file.set_u32("tokenizer.ggml.cls_token_id", 2);
    file.set_u32("tokenizer.ggml.seperator_token_id", 3);
  }
  file.set_i32s("tokenizer.ggml.token_type", kinds);
  for (const auto& [name, tensor] : tensors_) file.add_tensor(name, engine::gguf::Type::f32, tensor.ne, f32_bytes(tensor.values));
  return file;
}

ReferenceEncoder::Vector ReferenceEncoder::row(const std::string& name, size_t index) const {
  const std::vector<float>& values = tensors_.at(name).values;
  const auto begin = values.begin() + static_cast<std::ptrdiff_t>(index * kWidth);
  return Vector(begin, begin + kWidth);
}

ReferenceEncoder::Vector ReferenceEncoder::affine(const std::string& name, const Vector& x) const {
  const Tensor& weight = tensors_.at(name + ".weight");
  const Tensor& bias = tensors_.at(name + ".bias");
  Vector out(bias.values.begin(), bias.values.end());
  for (size_t o = 0; o < out.size(); ++o)
    for (size_t i = 0; i < x.size(); ++i) out[o] += static_cast<double>(weight.values[o * x.size() + i]) * x[i];
  return out;
}

ReferenceEncoder::Vector ReferenceEncoder::norm(const std::string& name, const Vector& x) const {
  double mean = 0, variance = 0;
  for (const double value : x) mean += value / static_cast<double>(x.size());
  for (const double value : x) variance += (value - mean) * (value - mean) / static_cast<double>(x.size());
  Vector out(x.size());
  for (size_t i = 0; i < x.size(); ++i)
    out[i] = (x[i] - mean) / std::sqrt(variance + kEpsilon) * static_cast<double>(tensors_.at(name + ".weight").values[i]) +
             static_cast<double>(tensors_.at(name + ".bias").values[i]);
  return out;
}

std::vector<ReferenceEncoder::Vector> ReferenceEncoder::states(const std::vector<int32_t>& tokens, size_t second) const {
  const auto add_to = [](Vector& x, const Vector& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  };
  std::vector<Vector> h;
  for (size_t t = 0; t < tokens.size(); ++t) {
    Vector x = row("token_embd.weight", static_cast<size_t>(tokens[t]));
    add_to(x, row("position_embd.weight", t));
    if (options_.token_types > 0) add_to(x, row("token_types.weight", options_.token_types > 1 && t >= second ? 1 : 0));
    h.push_back(norm("token_embd_norm", x));
  }
  for (uint32_t l = 0; l < options_.layers; ++l) {
    const std::string block = "blk." + std::to_string(l) + ".";
    std::vector<Vector> q, k, v;
    for (const Vector& x : h) {
      q.push_back(affine(block + "attn_q", x));
      k.push_back(affine(block + "attn_k", x));
      v.push_back(affine(block + "attn_v", x));
    }
    for (size_t t = 0; t < h.size(); ++t) {
      Vector attended(kWidth);
      for (size_t head = 0; head < kHeads; ++head) {
        const size_t at = head * kHead;
        Vector weights(h.size());
        double sum = 0;
        for (size_t s = 0; s < h.size(); ++s) {
          double dot = 0;
          for (size_t i = 0; i < kHead; ++i) dot += q[t][at + i] * k[s][at + i];
          sum += weights[s] = std::exp(dot / std::sqrt(static_cast<double>(kHead)));
        }
        for (size_t s = 0; s < h.size(); ++s)
          for (size_t i = 0; i < kHead; ++i) attended[at + i] += weights[s] / sum * v[s][at + i];
      }
      add_to(h[t], affine(block + "attn_output", attended));
      h[t] = norm(block + "attn_output_norm", h[t]);
    }
    for (Vector& x : h) {
      Vector up = affine(block + "ffn_up", x);
      for (double& value : up) value = value * (1 + std::erf(value / std::sqrt(2.0))) / 2;
      add_to(x, affine(block + "ffn_down", up));
      x = norm(block + "layer_output_norm", x);
    }
  }
  return h;
}

ReferenceEncoder::Vector ReferenceEncoder::pooled(const std::vector<int32_t>& tokens, size_t second) const {
  const std::vector<Vector> h = states(tokens, second);
  if (options_.pooling == 4) {
    Vector x = h.front();
    if (options_.dense_head) {
      x = affine("cls", x);
      for (double& value : x) value = std::tanh(value);
    }
    return affine("cls.output", x);
  }
  Vector sum(kWidth);
  for (size_t t = 0; t < h.size(); ++t)
    for (size_t i = 0; i < kWidth; ++i)
      if (options_.pooling == 1 || (options_.pooling == 2 && t == 0) || (options_.pooling == 3 && t + 1 == h.size())) sum[i] += h[t][i];
  double squares = 0;
  for (const double value : sum) squares += value * value;
  for (double& value : sum) value /= std::sqrt(squares);
  return sum;
}

}  // namespace wenqu::test
