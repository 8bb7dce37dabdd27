// The part of a passage that shows best why it was found, with the matching words marked.
//
// Thread safety: pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "retrieval/analysis/analyzer.h"
#include "retrieval/passage.h"

namespace wenqu::retrieval {

struct Snippet {
  std::string text;                  // begins and ends with "…" where the passage was cut
  std::vector<CharRange> matches;    // in code points of `text`, in order, apart from each other
  uint32_t place = 0;                // in code points of the passage: where the first of them begins
};

// `question_terms`: what was searched for. A Chinese character alone is marked only where no pair or
// word of the question is found: single characters match nearly everywhere.
Snippet make_snippet(std::string_view passage, const std::vector<Term>& question_terms, const Analyzer& analyzer,
                     size_t max_chars = 160);

}  // namespace wenqu::retrieval
