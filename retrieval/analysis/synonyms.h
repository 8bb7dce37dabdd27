// Finds in a question the words and phrases for which others may stand.
//
// Words are compared as the analysis makes them: folded, Chinese by its characters, English by its stems. A phrase that
// begins or ends amid a word of the dictionary is none: 银行 is not in 水|银|行业. Thread safety: immutable once made.
#pragma once

#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "retrieval/analysis/analyzer.h"
#include "retrieval/vocabulary.h"

namespace wenqu::retrieval {

class Synonyms {
 public:
  explicit Synonyms(std::span<const SynonymRule> rules);
  bool empty() const { return others_.empty(); }

  struct Found {
    CharRange range;                          // what of the question they stand for
    const std::vector<std::string>* others;   // as the rules have them; lives as long as this
  };
  // `terms`: all of the question, as Analyzer::analyze() gives them. From left to right, the longest phrase at each place.
  std::vector<Found> find(std::span<const Term> terms) const;

 private:
  std::unordered_map<std::string, std::vector<std::string>> others_;   // by the terms of a phrase
  std::unordered_map<std::string, size_t> longest_;                    // phrase, in terms, by its first
};

}  // namespace wenqu::retrieval
