#include "tests/support/chain_model.h"

#include <vector>

#include "tests/support/mini_vocabulary.h"

namespace wenqu::test {

// Embeddings have a number for each token, which one layer of zeros leaves as they are; the output gives the next token's.
GgufWriter chain_model(std::string_view text, uint32_t context) {
  const MiniVocabulary vocabulary;
  const size_t tokens = vocabulary.tokens.size(), width = (tokens + 31) / 32 * 32;
  GgufWriter w;
  w.set_string("general.architecture", "llama");
  w.set_string("general.name", "chain");
  w.set_u32("llama.block_count", 1);
  w.set_u32("llama.context_length", context);
  w.set_u32("llama.embedding_length", static_cast<uint32_t>(width));
  w.set_u32("llama.feed_forward_length", 32);
  w.set_u32("llama.attention.head_count", 1);
  w.set_u32("llama.attention.head_count_kv", 1);
  w.set_f32("llama.attention.layer_norm_rms_epsilon", 1e-6f);
  w.set_f32("llama.rope.freq_base", 10000);
  vocabulary.write(w, "qwen2", false);
  w.set_string("tokenizer.chat_template", "<｜User｜>{{x}}<｜Assistant｜><think>\\n");
  std::vector<float> embedding(tokens * width), output(tokens * width);
  for (size_t t = 0; t < tokens; ++t) embedding[t * width + t] = 1;
  size_t before = '\n';
  for (const char c : text) {
    output[static_cast<unsigned char>(c) * width + before] = 1;
    before = static_cast<unsigned char>(c);
  }
  output[static_cast<size_t>(vocabulary.eos) * width + before] = 1;
  const std::vector<float> ones(width, 1), zeros(width * width);
  const auto add = [&](const char* name, std::vector<uint64_t> ne, const std::vector<float>& values) {
    size_t n = 1;
    for (const uint64_t dimension : ne) n *= dimension;
    w.add_tensor(name, engine::gguf::Type::f32, std::move(ne), f32_bytes(std::vector<float>(values.begin(), values.begin() + static_cast<ptrdiff_t>(n))));
  };
  add("token_embd.weight", {width, tokens}, embedding);
  add("output.weight", {width, tokens}, output);
  for (const char* name : {"output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"}) add(name, {width}, ones);
  for (const char* name : {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight", "blk.0.attn_output.weight"}) add(name, {width, width}, zeros);
  for (const char* name : {"blk.0.ffn_gate.weight", "blk.0.ffn_up.weight"}) add(name, {width, 32}, zeros);
  add("blk.0.ffn_down.weight", {32, width}, zeros);
  return w;
}

}  // namespace wenqu::test
