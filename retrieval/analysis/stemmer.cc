#include "retrieval/analysis/stemmer.h"

#include <algorithm>

#include <libstemmer.h>

namespace wenqu::retrieval {

void Stemmer::Delete::operator()(sb_stemmer* stemmer) const { sb_stemmer_delete(stemmer); }

std::string Stemmer::stem(std::string word) {
  const bool english = std::all_of(word.begin(), word.end(),
                                   [](char c) { return (c >= 'a' && c <= 'z') || c == '\''; });
  if (!english || word.size() < 3) return word;
  if (!english_) english_.reset(sb_stemmer_new("english", "UTF_8"));
  if (!english_) return word;
  const sb_symbol* stem = sb_stemmer_stem(
      english_.get(), reinterpret_cast<const sb_symbol*>(word.data()), static_cast<int>(word.size()));
  if (!stem) return word;
  return {reinterpret_cast<const char*>(stem), static_cast<size_t>(sb_stemmer_length(english_.get()))};
}

}  // namespace wenqu::retrieval
