// Finds the marks "[citation:N]" in a streamed answer and binds them to the passages they name.
// Marks come from a model and are untrusted: one that names no passage is taken out of the text, so
// that what a reader can click is always something that was really found.
//
// Thread safety: one thread at a time.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/assistant/event.h"

namespace wenqu::assistant {

class CitationParser {
 public:
  // `evidence` outlives the parser and may grow.
  explicit CitationParser(const std::deque<Evidence>& evidence) : evidence_(evidence) {}

  // A stretch of answer text, or one mark with what it cites (`text` is the mark then).
  struct Part {
    std::string text;
    std::vector<Citation> citations;   // at most one
  };

  // What is certain now; text that may be the start of a mark is held back.
  std::vector<Part> push(std::string_view text);
  std::vector<Part> finish();

 private:
  void drain(std::vector<Part>& parts, bool at_end);
  void emit(std::vector<Part>& parts, std::string_view text);

  const std::deque<Evidence>& evidence_;
  std::string held_;
  uint32_t position_ = 0;   // code points given out so far
};

// The mark for a passage, as the vendor's prompts have it.
std::string citation_mark(int number);
// An answer without its marks.
std::string text_without_citations(std::string_view answer);
// A quotation that cites nothing by itself: brackets that would begin a mark become full-width ones.
std::string without_marks(std::string text);

}  // namespace wenqu::assistant
