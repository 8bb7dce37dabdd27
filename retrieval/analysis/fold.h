// Folds text so that what a reader takes for the same is the same: NFKC, case, full width (Unicode's
// NFKC_Casefold, which also drops soft hyphens, joiners and variation selectors), Latin, Greek, Arabic and Hebrew letters with
// and without their marks, then traditional Chinese characters to simplified ones.
//
// Every folded character keeps the range of the original text it came from. Folding works segment by
// segment between normalisation boundaries, so a ligature's letters share its range and a letter
// with its combining marks has the range of all of them. Thread safety: pure.
#pragma once

#include <string_view>
#include <vector>

#include "retrieval/passage.h"

namespace wenqu::retrieval {

struct FoldedChar {
  char32_t code_point = 0;
  CharRange range;      // code points of the original text
  bool capital = false; // was an upper-case letter
};

// Linear in the text, whatever it holds; ill-formed UTF-8 reads as U+FFFD.
std::vector<FoldedChar> fold(std::string_view text);

}  // namespace wenqu::retrieval
