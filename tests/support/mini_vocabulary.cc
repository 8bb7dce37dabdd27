#include "tests/support/mini_vocabulary.h"

#include <cstdio>

#include "base/utf8.h"
#include "engine/tokenizer/vocabulary.h"

namespace wenqu::test {

MiniVocabulary::MiniVocabulary() {
  for (int byte = 0; byte < 256; ++byte) {
    std::string character;
    utf8_append(character, engine::byte_character(static_cast<uint8_t>(byte)));
    tokens.push_back(character);
  }
  for (const auto& [left, right] : {std::pair{"t", "h"}, {"th", "e"}, {"i", "n"}, {"Ġ", "the"}}) {
    merges.push_back(std::string(left) + " " + right);
    tokens.push_back(std::string(left) + right);
  }
  kinds.assign(tokens.size(), 1);
  const auto special = [&](const char* text, int32_t kind) {
    tokens.emplace_back(text);
    kinds.push_back(kind);
    return static_cast<int32_t>(tokens.size()) - 1;
  };
  bos = special("<｜begin▁of▁sentence｜>", 3);
  eos = special("<｜end▁of▁sentence｜>", 3);
  for (const char* text : {"<｜User｜>", "<｜Assistant｜>", "<|im_start|>", "<|im_end|>"}) special(text, 3);
  special("<think>", 4);
  special("</think>", 4);
  special("naïve", 4);
}

void MiniVocabulary::write(GgufWriter& writer, std::string_view pre_tokenizer, bool add_bos) const {
  writer.set_string("tokenizer.ggml.model", "gpt2");
  writer.set_string("tokenizer.ggml.pre", pre_tokenizer);
  writer.set_strings("tokenizer.ggml.tokens", tokens);
  writer.set_i32s("tokenizer.ggml.token_type", kinds);
  writer.set_strings("tokenizer.ggml.merges", merges);
  writer.set_u32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(bos));
  writer.set_u32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(eos));
  writer.set_bool("tokenizer.ggml.add_bos_token", add_bos);
}

MiniSpmVocabulary::MiniSpmVocabulary() : tokens{"<unk>", "<s>", "</s>"}, kinds{2, 3, 3} {
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", static_cast<unsigned>(byte));
    tokens.emplace_back(text);
    kinds.push_back(6);
  }
  for (const char* text : {"\u2581", "a", "b", "c", "ab", "bc", "\u2581ab", "<", "/", "s", ">", "</", "s>", "</s"}) {
    tokens.emplace_back(text);
    kinds.push_back(1);
  }
  for (size_t i = 0; i < tokens.size(); ++i) scores.push_back(tokens[i] == "bc" ? 5 : -static_cast<float>(i));
}

void MiniSpmVocabulary::write(GgufWriter& writer) const {
  writer.set_string("tokenizer.ggml.model", "llama");
  writer.set_strings("tokenizer.ggml.tokens", tokens);
  writer.set_i32s("tokenizer.ggml.token_type", kinds);
  writer.set_f32s("tokenizer.ggml.scores", scores);
  writer.set_u32("tokenizer.ggml.bos_token_id", 1);
  writer.set_u32("tokenizer.ggml.eos_token_id", 2);
}

}  // namespace wenqu::test
