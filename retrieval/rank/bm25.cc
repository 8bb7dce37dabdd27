#include "retrieval/rank/bm25.h"

#include <bit>
#include <cmath>

namespace wenqu::retrieval {

Bm25Parameters bm25_parameters(TermField field) {
  switch (field) {
    case TermField::unigram: return {0.7, 0.6, 0.5};
    case TermField::bigram: return {1.0, 0.6, 0.5};
    case TermField::word: return {1.0, 1.2, 0.75};
    case TermField::title_unigram: return {0.1, 0.6, 0.5};
    case TermField::title_bigram: return {0.2, 0.6, 0.5};
    case TermField::title_word: return {0.3, 1.2, 0.75};
  }
  return {};
}

double inverse_document_frequency(uint64_t passages, uint64_t holders) {
  const auto n = static_cast<double>(holders < passages ? holders : passages);
  return std::log1p((static_cast<double>(passages) - n + 0.5) / (n + 0.5));
}

// A number with three mantissa bits: below 8 as it is, then exponent and the three bits after the
// leading one. The code grows with the length.
}  // namespace wenqu::retrieval
