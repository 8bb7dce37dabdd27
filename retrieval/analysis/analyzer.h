// One pipeline turns documents and questions into terms, so that the two always agree.
//
// Text is folded (NFKC, case, full width, traditional to simplified), cut at script boundaries, and gives for
//   Chinese runs   every character (Kind::unigram), every adjacent pair (Kind::bigram) and the words
//                  of two characters and more that a dictionary finds (Kind::dictionary_word);
//   other words    the word, English ones stemmed (Kind::word); numbers and codes such as
//                  "B2-107" stay whole and give their parts too; "Wi-Fi" is "wifi" too, "138-0013-8000" its digits, "v2.0.1" 2.0.1 and 2.0.
// Where the index's vocabulary asks for it, dictionary words of documents give their pinyin too (Kind::pinyin).
// Thread safety: Analyzer is immutable; any number of threads may use one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "retrieval/passage.h"

namespace wenqu::retrieval {

// Part of every passage's hash: raise it when analyze() changes what it gives for any text.
inline constexpr int kAnalysisVersion = 4;

class Lexicon;

struct Term {
  enum class Kind : uint8_t { unigram, bigram, word, dictionary_word, pinyin };
  static constexpr size_t kKinds = 5;
  std::string text;     // folded, UTF-8
  Kind kind = Kind::word;
  uint32_t position = 0;  // of its first character or word, counted in characters and words
  CharRange range;        // code points of the original text that it stands for
};

class Analyzer {
 public:
  Analyzer();   // without words of a user
  // REQUIRES: lexicon is not null
  explicit Analyzer(std::shared_ptr<const Lexicon> lexicon) : lexicon_(std::move(lexicon)) {}

  // All terms, stop words included, in the order of the text; pinyin behind.
  std::vector<Term> analyze(std::string_view text) const;
  // The same of a document's title and author, which are found by the pinyin of several words together too.
  std::vector<Term> analyze_title(std::string_view title, std::string_view author = {}) const;

  // The terms worth searching for: without question words ("什么", "how many"), stop words and
  // punctuation, unless nothing else is left. Duplicates stay.
  std::vector<Term> analyze_question(std::string_view question) const;
  // Whether nothing else is: "why?", "那什么时候呢？".
  bool only_asks(std::string_view question) const;

 private:
  std::vector<Term> told_by(std::string_view question) const;

  std::shared_ptr<const Lexicon> lexicon_;
};

}  // namespace wenqu::retrieval
