// The words by which a question asks rather than tells what it is about. Thread safety: pure.
#pragma once

#include <string_view>
#include <vector>

#include "retrieval/analysis/dictionary.h"
#include "retrieval/analysis/fold.h"

namespace wenqu::retrieval {

// For each folded character, whether it belongs to a Chinese question word or function phrase
// ("什么", "请问", "是否", a final "吗"). The longest phrase at a place decides; where the dictionary's words ("国有", "任何",
// "几何") hold a part of one, there is none. Linear in the text.
std::vector<bool> find_question_phrases(const std::vector<FoldedChar>& text, const Dictionary& dictionary);

// Whether a Chinese character is so common in grammar that, alone, it says nothing: 的 了 是 在 ...
bool is_function_character(char32_t c);

// Whether a folded English word asks or binds: "what", "how", "the", "of" ...
bool is_english_stop_word(std::string_view word);

}  // namespace wenqu::retrieval
