// Every number the ranking leans on. The defaults were found by scripts/tune-ranking on one half of the
// questions and held against the other half and against sets it never saw, those of the signals by
// scripts/learn-signals; docs/ranking.md tells how.
//
// Thread safety: plain values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "retrieval/document.h"

namespace wenqu::retrieval {

// Of one searched field; retrieval/rank/bm25.h has the formula.
struct Bm25Parameters {
  double weight = 1;   // 0 leaves the field out
  double k1 = 1.2;     // how much is added by a term that comes again; 0: nothing
  double b = 0.75;     // how much long passages are held back, 0 to 1
  double idf_power = 1;  // of the inverse document frequency; above 1, rare terms decide
};

// What a closer look at the texts of the best passages finds (retrieval/rank/closer_look.h). Shares are of the question's
// characters and other words, weighed by their inverse document frequency.
enum class Signal : uint8_t {
  // The share of characters, pairs, words and dictionary words that the text or its document's title holds; and each
  // times how few of the passages beside it do.
  unigram_held, bigram_held, word_held, dictionary_word_held,
  unigram_alone, bigram_alone, word_alone, dictionary_word_alone,
  neighbours,       // the share of neighbours in the question that are neighbours in the text
  narrow_window,    // the largest share within 15 characters or words
  wide_window,      // the largest share within 45
  order,            // the largest share in the order of the question
  length,           // ln(1 + the characters and words of the text)
  late,             // ln(1 + those before the first rare one of the question)
  same_title,       // the share of the passages beside it that have the same title
  // Where the question asks for such a thing: 1 if the text has one, 0.5 if it may be one.
  time, number,
  near_answer,      // the largest share within 15 characters or words of such a place
};
inline constexpr size_t kSignals = 18;

struct RankingParameters {
  // Of a passage, its document's title being part of it. Characters and words of Chinese count once or hardly more (small k1): to say 水 twice
  // says little.
  Bm25Parameters unigram{0.68, 0.3, 0.75, 1};
  Bm25Parameters bigram{0.045, 0.3, 0.75, 2};
  Bm25Parameters word{1.5, 1.2, 0.75, 1};
  Bm25Parameters dictionary_word{0.07, 0.3, 0.75, 2};
  // Of words by their pinyin, where the index keeps it (Vocabulary::pinyin) and the question is not found as it stands.
  Bm25Parameters pinyin{0.07, 0.3, 0.75, 2};
  // Of the words of its document's title, over and above what they count as words of the passage.
  Bm25Parameters title_word{0.3, 1.2, 0.75, 1};

  // What a passage that says it in other words (Vocabulary::synonyms) gets at most, of what one gets that says it as the
  // question does; rank/other_words.h.
  double synonyms = 0.5;
  // The best passages by those fields are looked at again, at least so many.
  size_t rescored = 10;
  // How much the whole document's score adds to the passage's.
  double document = 1;
  // So many passages before and after each of those in its document may take a place among them: what follows from what was
  // asked is often said without its words. 0: none, as with `document` 0.
  size_t nearby = 3;
  // A passage as old as `freshness_half_life` days gets half of this share of its score on top, a new
  // one all of it. 0: age is nothing.
  double freshness = 0;
  double freshness_half_life = 90;
  // For a question that has Chinese characters, the score of the best `rescored` passages is multiplied by e^(the sum of
  // their signals, each times its weight here). All 0: their texts are not read.
  std::array<double, kSignals> signals{0, 0.79, 0.84, 0.61, 0.89, 0, 1.38, 0.65,                       // held, alone
                                       0.33, 1.29, 0.64, 0.79, -0.22, -0.09, 0.87, 0.54, 0.57, 0.88};  // by Signal
  // The score of passages from a source is multiplied by this; by Source.
  std::array<double, 5> source_priors{1, 1, 1, 1, 1};

  // A JSON object with any of the names above, those that are absent keeping their defaults:
  // {"unigram": {"weight": 0.9}, "document": 0, "source_priors": {"chat": 0.8}}.
  // Errors: invalid_argument, naming the member.
  static Result<RankingParameters> parse(std::string_view json);
  // All of them, as parse() reads it.
  std::string to_json() const;
};

}  // namespace wenqu::retrieval
