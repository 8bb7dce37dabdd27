#include "retrieval/query/question_terms.h"

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
    distinct.push_back({std::move(term), std::move(key)});
  }
  return distinct;
}

}  // namespace wenqu::retrieval
