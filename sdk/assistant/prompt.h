// What a model is told: the found passages in the layout DeepSeek deploys its models with
// ("[webpage N begin] ... [webpage N end]", cited as "[citation:N]"), how to answer, the date, and
// last the question, so that everything before it can be kept between questions.
//
// The whole message is untrusted text to the tokenizer: no part of it can become a control token.
// Inside it, what passages say cannot close their own frame.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sdk/assistant/generator.h"

namespace wenqu::assistant {

struct Prompt {
  std::string user_message;
  std::vector<int> passages; // numbers of the task's evidence that are there, whole
  bool clipped = false;      // part of one is
  bool truncated = false;    // some did not
};

using CountTokens = std::function<size_t(std::string_view)>;

// Passages that do not fit beside those before them are left out; where none fits, the first is cut. The question is always
// kept. `known`: numbers of passages that stand further up in the prompt; these are pointed at only.
Prompt compose_prompt(const GenerationTask& task, size_t max_tokens, const CountTokens& count_tokens, const std::set<int>& known = {});

// A conversation's earlier turns as the model is told them again.
struct EarlierPrompt {
  std::vector<std::pair<std::string, std::string>> exchanges;   // user's message, answer
  std::set<int> known;                                          // numbers of the passages in them
  size_t turns = 0, with_passages = 0;                          // see PromptRecord
  size_t tokens = 0;
};

// The last turns, with their passages as long as these take three fifths of max_tokens at most; then all passages are left
// out at once, so that what follows is read behind the same beginning for some turns again. Turns without their passages
// take a quarter at most, the oldest are left out.
EarlierPrompt compose_earlier(const Conversation& earlier, size_t max_tokens, const CountTokens& count_tokens);

// The passages that a search inside the thinking found, to be put there.
std::string compose_found(Language language, std::string_view query, std::span<const Evidence* const> found);

// A line of thinking that asks for a search ("搜索：..." or "Search: ..."), else empty.
std::string_view search_request(std::string_view line);

}  // namespace wenqu::assistant
