#include "retrieval/documents/text_builder.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace wenqu::retrieval {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

void TextBuilder::separate() {
  if (!text_.empty()) {
    if (breaks_ > 0) text_.append(static_cast<size_t>(breaks_), '\n');
    else if (space_) text_ += ' ';
  }
  breaks_ = 0;
  space_ = false;
}

void TextBuilder::place_mark() {
  if (!placed_.empty() && placed_.back().first == text_.size()) placed_.pop_back();
  placed_.emplace_back(text_.size(), std::exchange(next_, {}));
}

std::vector<Mark> TextBuilder::marks() const {
  std::vector<Mark> marks;
  size_t bytes = 0, characters = 0;
  for (const auto& [at, locator] : placed_) {
    characters += utf8_length(std::string_view(text_).substr(bytes, at - bytes));
    bytes = at;
    marks.push_back({static_cast<uint32_t>(characters), locator});
  }
  return marks;
}

void TextBuilder::add(std::string_view text) {
  for (char c : text) {
    if (is_space(c)) {
      space_ = true;
    } else {
      if (space_ || breaks_ > 0) separate();
      if (next_.kind != Locator::Kind::none) place_mark();
      text_ += c;
    }
  }
}

void TextBuilder::add_preformatted(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  if (text.empty()) return;
  separate();
  if (next_.kind != Locator::Kind::none) place_mark();
  text_ += text;
}

void TextBuilder::break_line() { breaks_ = std::max(breaks_, 1); }

void TextBuilder::break_paragraph() { breaks_ = 2; }

std::string TextBuilder::take() {
  placed_.clear();
  next_ = {};
  breaks_ = 0;
  space_ = false;
  return std::exchange(text_, {});
}

}  // namespace wenqu::retrieval
