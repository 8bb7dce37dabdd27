// Okapi BM25 (Robertson, Walker, Jones, Hancock-Beaulieu, Gatford: Okapi at TREC-3, 1994; in the form
// of Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009, equation 3.15), with the
// inverse document frequency that cannot be negative, ln(1 + (N - n + 0.5) / (n + 0.5)).
//
//   score(q, d) = sum over terms t of q, over fields f that hold t:
//     weight_f * idf(t, f)^power_f * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length_f(d) / average_f))
//
// Chinese runs are searched by characters, pairs and words at once, each a field with its own lengths.
#pragma once

#include <cstdint>

#include "retrieval/index/schema.h"
#include "retrieval/ranking_parameters.h"

namespace wenqu::retrieval {

const Bm25Parameters& bm25_parameters(const RankingParameters& parameters, TermField field);

// All of a term's part in a score that does not depend on the passage: weight * idf^power * (k1 + 1).
double term_weight(const Bm25Parameters& parameters, uint64_t passages, uint64_t holders);

// `holders` of `passages` hold the term.
double inverse_document_frequency(uint64_t passages, uint64_t holders);

}  // namespace wenqu::retrieval
