// Puts plain text together from a marked-up document: white space collapsed, blocks on lines of
// their own, paragraphs apart by a blank line. Thread safety: one thread at a time.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "retrieval/document.h"

namespace wenqu::retrieval {

class TextBuilder {
 public:
  // Running text: each stretch of white space becomes one space.
  void add(std::string_view text);
  // Text whose lines and spaces count, such as code.
  void add_preformatted(std::string_view text);
  // What follows begins on a new line, or after a blank one.
  void break_line();
  void break_paragraph();
  // The next text stands there in its original.
  void mark(const Locator& locator) { next_ = locator; }
  size_t size() const { return text_.size(); }   // in bytes
  // The text so far, without white space at its end.
  std::string take();
  // The marks of the text so far. Call it before take().
  std::vector<Mark> marks() const;

 private:
  void separate();
  void place_mark();

  std::string text_;
  Locator next_;                                      // of what is added next; none: as before
  std::vector<std::pair<size_t, Locator>> placed_;    // by byte
  int breaks_ = 0;      // line ends owed before the next text
  bool space_ = false;  // a space owed
};

}  // namespace wenqu::retrieval
