#include "retrieval/rank/bm25.h"

#include <cmath>

namespace wenqu::retrieval {

const Bm25Parameters& bm25_parameters(const RankingParameters& parameters, TermField field) {
  switch (field) {
    case TermField::unigram: return parameters.unigram;
    case TermField::bigram: return parameters.bigram;
    case TermField::word: return parameters.word;
    case TermField::dictionary_word: return parameters.dictionary_word;
    case TermField::pinyin: return parameters.pinyin;
    case TermField::title_word: break;
  }
  return parameters.title_word;
}

double term_weight(const Bm25Parameters& parameters, uint64_t passages, uint64_t holders) {
  return parameters.weight * (parameters.k1 + 1) * std::pow(inverse_document_frequency(passages, holders), parameters.idf_power);
}

double inverse_document_frequency(uint64_t passages, uint64_t holders) {
  const auto n = static_cast<double>(holders < passages ? holders : passages);
  return std::log1p((static_cast<double>(passages) - n + 0.5) / (n + 0.5));
}

}  // namespace wenqu::retrieval
