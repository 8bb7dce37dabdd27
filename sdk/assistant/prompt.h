// What a model is told: the found passages in the layout DeepSeek deploys its models with
// ("[webpage N begin] ... [webpage N end]", cited as "[citation:N]"), how to answer, the date, and
// last the question, so that everything before it can be kept between questions.
//
// The whole message is untrusted text to the tokenizer: no part of it can become a control token.
// Inside it, what passages say cannot close their own frame.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "sdk/assistant/generator.h"

namespace wenqu::assistant {

struct Prompt {
  std::string user_message;
  size_t passages = 0;       // of the task's evidence that are there
  bool truncated = false;    // some did not
};

using CountTokens = std::function<size_t(std::string_view)>;

// Passages that do not fit beside those before them are left out; where none fits, the first is cut. The question is always
// kept.
Prompt compose_prompt(const GenerationTask& task, size_t max_tokens, const CountTokens& count_tokens);

// The passages that a search inside the thinking found, to be put there.
std::string compose_found(Language language, std::string_view query, std::span<const Evidence* const> found);

// A line of thinking that asks for a search ("搜索：..." or "Search: ..."), else empty.
std::string_view search_request(std::string_view line);

}  // namespace wenqu::assistant
