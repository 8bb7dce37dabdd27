// Splits a model's output into thinking and answer. R1's template opens <think> in the prompt, so
// its output starts inside the thinking; others may write <think> themselves, or not think at all.
// The marks may be split over any number of tokens.
//
// Thread safety: one thread at a time.
#pragma once

#include <string>
#include <string_view>

namespace wenqu::assistant {

class ThoughtParser {
 public:
  struct Part {
    std::string thinking;
    bool thinking_ended = false;   // </think> came, behind `thinking`
    std::string answer;
  };

  explicit ThoughtParser(bool starts_in_thinking);

  // What is certain now; text that may be the start of a mark is held back.
  Part push(std::string_view text);
  // What was held back, at the end of the output.
  Part finish();

  bool in_thinking() const { return state_ == State::thinking; }

 private:
  enum class State {
    start,      // nothing but white space yet: <think> may still come
    thinking,
    gap,        // after </think>: white space before the answer is dropped
    answer,
  };
  void drain(Part& part, bool at_end);

  State state_;
  std::string held_;
  bool drop_space_ = true;   // white space at the start of the thinking is dropped
};

}  // namespace wenqu::assistant
