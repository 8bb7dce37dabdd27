// Okapi BM25 (Robertson, Walker, Jones, Hancock-Beaulieu, Gatford: Okapi at TREC-3, 1994; in the form
// of Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009, equation 3.15), with the
// inverse document frequency that cannot be negative, ln(1 + (N - n + 0.5) / (n + 0.5)).
//
//   score(q, d) = sum over terms t of q, over fields f that hold t:
//     weight_f * idf(t, f) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length_f(d) / average_f))
//
// Chinese runs are searched by characters and pairs at once, each a field with its own lengths; both
// are flatter (small k1 and b) than words, because a character says less by being repeated.
#pragma once

#include <cstdint>

#include "retrieval/index/schema.h"

namespace wenqu::retrieval {

struct Bm25Parameters {
  double weight = 1;
  double k1 = 1.2;
  double b = 0.75;
};

// Starting values from measurements on Chinese and English question sets; not yet tuned.
Bm25Parameters bm25_parameters(TermField field);

// `holders` of `passages` hold the term.
double inverse_document_frequency(uint64_t passages, uint64_t holders);


}  // namespace wenqu::retrieval
