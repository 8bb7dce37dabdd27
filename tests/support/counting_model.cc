#include "tests/support/counting_model.h"

#include <cmath>

namespace wenqu::test {
namespace {

constexpr size_t kWidth = 32;
constexpr float kMark = 4;   // of an exclamation mark's second number; all tokens have 1 as their first

}  // namespace

GgufWriter counting_model(const MiniVocabulary& vocabulary) {
  const size_t tokens = vocabulary.tokens.size();
  GgufWriter w;
  w.set_string("general.architecture", "llama");
  w.set_string("general.name", "counting");
  w.set_u32("llama.block_count", 1);
  w.set_u32("llama.context_length", 2048);
  w.set_u32("llama.embedding_length", kWidth);
  w.set_u32("llama.feed_forward_length", kWidth);
  w.set_u32("llama.attention.head_count", 1);
  w.set_u32("llama.attention.head_count_kv", 1);
  w.set_f32("llama.attention.layer_norm_rms_epsilon", 1e-6f);
  w.set_f32("llama.rope.freq_base", 10000);
  vocabulary.write(w, "qwen2", false);
  w.set_string("tokenizer.chat_template", "<|im_start|>");
  std::vector<float> embedding(tokens * kWidth), output(tokens * kWidth), identity(kWidth * kWidth);
  for (size_t t = 0; t < tokens; ++t) embedding[t * kWidth] = 1;
  embedding['!' * kWidth + 1] = kMark;
  output['y' * kWidth + 1] = 1, output['n' * kWidth + 1] = -1;
  for (size_t i = 0; i < kWidth; ++i) identity[i * kWidth + i] = 1;
  const std::vector<float> ones(kWidth, 1), zeros(kWidth * kWidth);
  const auto add = [&](const char* name, std::vector<uint64_t> ne, const std::vector<float>& values) {
    w.add_tensor(name, engine::gguf::Type::f32, std::move(ne), f32_bytes(values));
  };
  add("token_embd.weight", {kWidth, tokens}, embedding);
  add("output.weight", {kWidth, tokens}, output);
  for (const char* name : {"output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"}) add(name, {kWidth}, ones);
  for (const char* name : {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.ffn_gate.weight", "blk.0.ffn_up.weight", "blk.0.ffn_down.weight"})
    add(name, {kWidth, kWidth}, zeros);
  for (const char* name : {"blk.0.attn_v.weight", "blk.0.attn_output.weight"}) add(name, {kWidth, kWidth}, identity);
  return w;
}

double counting_model_difference(size_t tokens, size_t marks) {
  const double share = static_cast<double>(marks) / static_cast<double>(tokens), mark = static_cast<double>(kMark), width = kWidth;
  const double plain = std::sqrt(width), marked = std::sqrt(width / (1 + mark * mark));   // 1 behind the first norm
  const double first = 1 + (1 - share) * plain + share * marked, second = share * mark * marked;
  return 2 * second / std::sqrt((first * first + second * second) / width);
}

}  // namespace wenqu::test
