// Cuts a document into passages: about 300 to 500 code points, at sentence ends, neighbours
// overlapping by a sentence or so (a whole short document is one passage), or as its host has cut it.
#pragma once

#include <vector>

#include "retrieval/passage.h"

namespace wenqu::retrieval {

struct PassageOptions {
  size_t target_chars = 400;   // a passage is closed at the first sentence end past this
  size_t max_chars = 500;      // a longer sentence is cut here, at a space or comma where one is near
  size_t overlap_chars = 80;   // at most this much of the last sentences is repeated
};

// REQUIRES: document.text is valid UTF-8, document.marks are in order, document.passages are as check_passages() wants them. Every passage's text equals the text at its range.
std::vector<Passage> split_passages(const Document& document, const PassageOptions& options = {});

// The sentences of a text, as code point ranges that leave out only white space between them.
std::vector<CharRange> split_sentences(std::string_view text);

}  // namespace wenqu::retrieval
