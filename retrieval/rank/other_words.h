// What a question asks for in other words: its synonyms, and Chinese whose pinyin it may be.
//
// A phrase of the question for which k others may stand stays as it is. Of each other one the terms are asked for too,
// their weights multiplied by
//
//   min(s, 1 / k) * min(1, W(phrase) / W(other))
//
// where s is RankingParameters::synonyms and W the sum of all weights of a phrase's terms (rank/bm25.h), those of
// terms that no passage holds included. So a passage that says one of the others gets at most the share s of what one
// gets that says it as the question does, and all of them together count at most once more: neither many synonyms nor
// rare ones outweigh the rest of the question.
//
// Latin letters that no passage holds as words are looked for as pinyin: each word whole, which initials are, and all of
// a row of words cut at syllables into the fewest pieces that the index knows.
//
// Thread safety: pure but for what it asks the counts.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "retrieval/analysis/analyzer.h"
#include "retrieval/analysis/lexicon.h"
#include "retrieval/query/question_terms.h"
#include "retrieval/query/term_counts.h"
#include "retrieval/ranking_parameters.h"

namespace wenqu::retrieval {

// Whether the lexicon has any.
bool has_other_words(const Lexicon& lexicon, const RankingParameters& parameters);

// Adds them to what is asked for, and to `terms`, which are marked where they are found. The lexicon says what stands for
// what; without synonyms and pinyin nothing is done. `question` is well-formed UTF-8. Errors: those of the counts.
Status add_other_words(const std::shared_ptr<const Lexicon>& lexicon, TermCounts& counts, std::string_view question,
                       const RankingParameters& parameters, std::vector<QuestionTerm>& asked, std::vector<Term>& terms);

}  // namespace wenqu::retrieval
