// SentencePiece's unigram model (Kudo 2018), of XLM-RoBERTa and models after it: a text is cut into those tokens whose
// scores (log probabilities) add up to the most. Spaces are written as U+2581, one before the text; several are one. A
// character of which no token is made is unknown, and neighbours of that kind are one token together.
//
// Thread safety: immutable after creation.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/tokenizer/char_map.h"
#include "engine/tokenizer/vocabulary.h"

namespace wenqu::engine {

struct UnigramOptions {
  CharMap map;
  bool space_prefix = true;
  bool merge_spaces = true;   // and take them off both ends
};

class Unigram {
 public:
  // scores: one for each token. Errors: corrupt.
  static Result<Unigram> create(const Vocabulary& vocabulary, std::vector<float> scores, UnigramOptions options);

  // Appends the tokens of a text; `begins`: nothing but marks stands before it.
  void encode(std::string_view text, bool begins, std::vector<TokenId>& out) const;

 private:
  struct Entry {
    std::string text;
    TokenId id;
    double score;
  };
  std::string normalized(std::string_view text, bool begins) const;

  UnigramOptions options_;
  std::vector<Entry> entries_;   // of tokens that text may become, by their text
  double unknown_score_ = 0;
  TokenId unknown_ = -1;
};

}  // namespace wenqu::engine
