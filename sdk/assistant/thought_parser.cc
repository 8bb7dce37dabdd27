#include "sdk/assistant/thought_parser.h"

#include <algorithm>

namespace wenqu::assistant {
namespace {

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";
constexpr std::string_view kSpace = " \t\r\n";

// How many bytes at the end of `text` could be the start of `mark`.
size_t partial_suffix(std::string_view text, std::string_view mark) {
  for (size_t n = std::min(text.size(), mark.size() - 1); n > 0; --n)
    if (text.substr(text.size() - n) == mark.substr(0, n)) return n;
  return 0;
}

}  // namespace

ThoughtParser::ThoughtParser(bool starts_in_thinking)
    : state_(starts_in_thinking ? State::thinking : State::start) {}

ThoughtParser::Part ThoughtParser::push(std::string_view text) {
  held_.append(text);
  Part part;
  drain(part, false);
  return part;
}

ThoughtParser::Part ThoughtParser::finish() {
  Part part;
  drain(part, true);
  return part;
}

void ThoughtParser::drain(Part& part, bool at_end) {
  for (;;) {
    switch (state_) {
      case State::start: {
        const size_t first = held_.find_first_not_of(kSpace);
        if (first == std::string::npos) {
          if (at_end) held_.clear();
          return;
        }
        const std::string_view rest = std::string_view(held_).substr(first);
        if (rest.starts_with(kOpen)) {
          held_.erase(0, first + kOpen.size());
          state_ = State::thinking;
          continue;
        }
        if (!at_end && kOpen.starts_with(rest)) return;
        held_.erase(0, first);
        state_ = State::answer;
        continue;
      }
      case State::thinking: {
        if (drop_space_) {
          held_.erase(0, std::min(held_.find_first_not_of(kSpace), held_.size()));
          if (held_.empty()) return;
          if (!kClose.starts_with(held_) || at_end) drop_space_ = false;
        }
        const size_t close = held_.find(kClose);
        if (close != std::string::npos) {
          part.thinking += held_.substr(0, close);
          part.thinking_ended = true;
          held_.erase(0, close + kClose.size());
          state_ = State::gap;
          continue;
        }
        const size_t keep = at_end ? 0 : partial_suffix(held_, kClose);
        part.thinking += held_.substr(0, held_.size() - keep);
        held_.erase(0, held_.size() - keep);
        return;
      }
      case State::gap: {
        held_.erase(0, std::min(held_.find_first_not_of(kSpace), held_.size()));
        if (held_.empty()) return;
        state_ = State::answer;
        continue;
      }
      case State::answer:
        part.answer += held_;
        held_.clear();
        return;
    }
  }
}

}  // namespace wenqu::assistant
