// Every number the ranking leans on. The defaults were found by scripts/tune-ranking on one half of the
// questions and held against the other half and against sets it never saw; docs/ranking.md tells how.
//
// Thread safety: plain values.
#pragma once

#include <array>
#include <cstddef>
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
  double document = 0.6;
  // A passage as old as `freshness_half_life` days gets half of this share of its score on top, a new
  // one all of it. 0: age is nothing.
  double freshness = 0;
  double freshness_half_life = 90;
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
