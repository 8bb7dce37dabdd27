// The closer look: what the texts of the best passages themselves say of how well each answers a question, in numbers
// (Signal, ranking_parameters.h) that RankingParameters::signals weighs.
//
// Shares are of the question's units, its characters and words other than Chinese, weighed by their inverse document
// frequency; those of pairs and dictionary words too, so that they may come to more than 1. What the document's title holds
// counts as if it stood beside every place of the text: a passage seldom says what it is about, the title does. Cost: linear in the texts, times the units of the question for `order`.
//
// Thread safety: pure.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "retrieval/query/question_terms.h"
#include "retrieval/rank/answer_kind.h"
#include "retrieval/ranking_parameters.h"

namespace wenqu::retrieval {

using Signals = std::array<double, kSignals>;

struct PassageText {
  std::string title;  // its document's
  std::string text;
};

// Whether the parameters ask for a closer look at passages for such a question: one with Chinese characters.
bool wants_closer_look(const RankingParameters& parameters, const std::vector<QuestionTerm>& terms);

// The scores after a closer look at the first `signals.size()` passages; none that follows comes before the last of them.
// REQUIRES: scores are best first, and as many as signals at least
std::vector<double> scores_after_look(std::vector<double> scores, const std::vector<Signals>& signals,
                                      const RankingParameters& parameters);

class CloserLook {
 public:
  // `idf`: of each of the terms in the passage's fields, times its share. REQUIRES: as many as terms
  CloserLook(std::string_view question, const std::vector<QuestionTerm>& terms, const std::vector<double>& idf);

  // Of passages that are seen together, in their order: some signals tell what only one of them has.
  std::vector<Signals> look_at(const std::vector<PassageText>& passages) const;

 private:
  struct Unit {
    std::string text;
    Term::Kind kind = Term::Kind::word;
    uint32_t position = 0;
    double weight = 0;
  };
  struct Phrase {
    std::u32string text;
    Term::Kind kind = Term::Kind::bigram;
    double weight = 0;
  };
  struct View;

  int find_unit(const std::string& text) const;
  View view(const PassageText& passage) const;
  double weight_of(const std::vector<bool>& held) const;
  double weight_within(const View& view, size_t begin, size_t end) const;
  double best_window(const View& view, size_t size) const;
  double best_order(const View& view) const;
  void look_for_neighbours(const View& view, Signals& signals) const;
  void look_for_answers(const View& view, Signals& signals) const;

  std::u32string question_;            // folded
  std::vector<Unit> units_;            // in order of the question
  std::vector<size_t> sorted_;         // the units by text
  std::array<bool, 256> ends_{};       // whether a unit ends in such bytes: most words of a text need no look-up
  std::vector<Phrase> phrases_;        // pairs and dictionary words
  double all_units_ = 0, all_neighbours_ = 0;  // sums of weights
  std::vector<ExpectedAnswer> expected_;
};

}  // namespace wenqu::retrieval
