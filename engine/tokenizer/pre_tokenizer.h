// Cuts text into the words that BPE works on. Each scanner gives exactly the pieces of the regular
// expressions the model was trained with, in one pass, without backtracking.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace wenqu::engine {

enum class PreTokenizer { deepseek_coder, deepseek_llm, deepseek_v3, kimi_k2, llama_bpe, qwen2, qwen35 };

// By the value of tokenizer.ggml.pre. Many models cut as one of these do ("deepseek-r1-qwen" as qwen2, "falcon3" as
// llama_bpe ...) and have names of their own there.
std::optional<PreTokenizer> find_pre_tokenizer(std::string_view name);

// The pieces, in order; together they are the whole text.
std::vector<std::string_view> pre_tokenize(PreTokenizer kind, std::string_view text);

}  // namespace wenqu::engine
