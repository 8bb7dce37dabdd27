// How well a text supports a question: the share of the question's words that it holds, each word
// weighed by how rare it is in the collection. 1 means it holds them all; a word the collection has
// never seen weighs most, so a question about something foreign is supported by nothing. A word is held where it
// stands, or where one of its synonyms does.
//
// Thread safety: immutable after creation.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "retrieval/analysis/analyzer.h"
#include "retrieval/retriever.h"

namespace wenqu::assistant {

// So much of a passage as Retriever::weigh() takes.
inline std::string_view weighable(std::string_view text) {
  text = text.substr(0, retrieval::kMaxQueryBytes);
  return text.substr(0, utf8_complete_prefix(text));
}

class Support {
 public:
  // `terms`: of the question, as Retriever::weigh gives them.
  explicit Support(const std::vector<retrieval::WeighedTerm>& terms);

  // One flag for each term of the question.
  using Held = std::vector<bool>;
  Held held_by(std::string_view text) const;
  static Held either(const Held& a, const Held& b);

  // Between 0 and 1; 0 for a question without terms.
  double coverage(const Held& held) const;
  bool empty() const { return total_ <= 0; }

 private:
  retrieval::Analyzer analyzer_;
  // A synonym of terms: all that it is made of, and the places of those.
  struct Other {
    std::vector<std::string> parts;
    std::vector<size_t> places;
  };

  std::unordered_map<std::string, size_t> index_;   // term text -> place; words of the dictionary apart
  std::vector<std::pair<std::u32string, size_t>> words_;
  std::vector<Other> others_;
  std::vector<double> weights_;
  double total_ = 0;
};

}  // namespace wenqu::assistant
