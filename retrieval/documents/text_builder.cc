#include "retrieval/documents/text_builder.h"

#include <algorithm>
#include <utility>

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

void TextBuilder::add(std::string_view text) {
  for (char c : text) {
    if (is_space(c)) {
      space_ = true;
    } else {
      if (space_ || breaks_ > 0) separate();
      text_ += c;
    }
  }
}

void TextBuilder::add_preformatted(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  if (text.empty()) return;
  separate();
  text_ += text;
}

void TextBuilder::break_line() { breaks_ = std::max(breaks_, 1); }

void TextBuilder::break_paragraph() { breaks_ = 2; }

std::string TextBuilder::take() {
  breaks_ = 0;
  space_ = false;
  return std::exchange(text_, {});
}

}  // namespace wenqu::retrieval
