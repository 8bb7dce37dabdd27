#include "retrieval/query/question_terms.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "retrieval/index/schema.h"

namespace wenqu::retrieval {

std::vector<QuestionTerm> distinct_terms(std::vector<Term> terms) {
  std::set<std::pair<Term::Kind, std::wstring>> seen;
  std::vector<QuestionTerm> distinct;
  for (Term& term : terms) {
    std::wstring key = index_term(term.text);
    if (key.empty() || !seen.emplace(term.kind, key).second) continue;
    distinct.push_back({std::move(term), std::move(key), 1});
  }
  return distinct;
}

std::vector<QuestionTerm> search_terms(std::vector<Term> terms) {
  std::vector<CharRange> words;
  for (const Term& term : terms)
    if (term.kind == Term::Kind::dictionary_word)   // one may hold the next
      words.push_back({term.range.begin, words.empty() ? term.range.end : std::max(words.back().end, term.range.end)});
  std::erase_if(terms, [&words](const Term& term) {
    if (term.kind != Term::Kind::bigram) return false;
    const auto next = std::upper_bound(words.begin(), words.end(), term.range.begin,
                                       [](uint32_t begin, const CharRange& word) { return begin < word.begin; });
    return next != words.begin() && std::prev(next)->end >= term.range.end;
  });
  return distinct_terms(std::move(terms));
}

}  // namespace wenqu::retrieval
