// One pass over folded text that cuts it into terms. Thread safety: pure.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "retrieval/analysis/analyzer.h"
#include "retrieval/analysis/dictionary.h"
#include "retrieval/analysis/fold.h"

namespace wenqu::retrieval {

// What to leave out of the terms; by default nothing is.
struct TermFilter {
  const std::vector<bool>* skip = nullptr;  // syllables to pass over; no pair is made across them
  std::function<bool(const std::u32string&)> drop_syllables;  // a unigram, bigram or dictionary word
  std::function<bool(const std::string& word, bool capitals)> drop_word;  // before stemming
};

// The terms in the order of the text, each compound before its parts, each dictionary word after its
// first character and pair, and before the words within it; a user's word with letters in it before what it is made of.
std::vector<Term> scan_terms(const std::vector<FoldedChar>& text, const Dictionary& dictionary, const TermFilter& filter);

// Those of them that overlap with no other: characters of Chinese, and other words with their compounds.
std::vector<Term> scan_units(const std::vector<FoldedChar>& text);

}  // namespace wenqu::retrieval
