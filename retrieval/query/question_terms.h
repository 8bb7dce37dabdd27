// The distinct terms of a question, as the index is asked for them. Pure.
#pragma once

#include <string>
#include <vector>

#include "retrieval/analysis/analyzer.h"

namespace wenqu::retrieval {

struct QuestionTerm {
  Term term;            // where it appears first
  std::wstring key;     // as the index keeps it
  double share = 1;     // of its weight that counts; less for what is said in other words
};

// In order of appearance; terms that the index cannot hold are left out.
std::vector<QuestionTerm> distinct_terms(std::vector<Term> terms);

// Those of them that a search asks for: not the pairs that lie within a dictionary word, which stands
// for them.
std::vector<QuestionTerm> search_terms(std::vector<Term> terms);

}  // namespace wenqu::retrieval
