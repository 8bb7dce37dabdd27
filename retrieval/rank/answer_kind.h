// What a question expects to be told, a time or a number, and where a text holds one: of two passages with the same
// words, the one with a date is the better answer to "when". Patterns only, of Chinese.
//
// Thread safety: pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace wenqu::retrieval {

enum class AnswerKind : uint8_t { time, number };

struct ExpectedAnswer {
  AnswerKind kind = AnswerKind::time;
  // What is counted (几架: 架), as far as the question says; for a time, 年 when the year is wanted.
  std::u32string noun;
};

// `question`: folded (fold.h).
std::vector<ExpectedAnswer> expected_answers(const std::u32string& question);

struct AnswerPlace {
  size_t at = 0;          // in the text
  bool certain = false;   // else it may be something else
};

// Where `text` has what may be the answer and is not in the question already, in no order. Both are folded.
std::vector<AnswerPlace> find_answers(const ExpectedAnswer& expected, const std::u32string& question, const std::u32string& text);

}  // namespace wenqu::retrieval
