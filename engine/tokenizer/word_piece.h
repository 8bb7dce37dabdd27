// BERT's WordPiece (Schuster, Nakajima 2012; Devlin et al. 2018): text is cut into words at spaces and around
// punctuation and Chinese characters, and each word into the longest tokens from its beginning. A word that cannot be
// cut so, or that is longer than 100 characters, is the unknown token. Files write a token that begins a word with
// U+2581 before it, and one that goes on without.
//
// Models of lower case fold case and take accents off; which kind a model is, its vocabulary tells: only that of a cased
// one has words with capitals.
//
// Thread safety: immutable after creation.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "engine/tokenizer/vocabulary.h"

namespace wenqu::engine {

class WordPiece {
 public:
  // Errors: corrupt, when there is no unknown token.
  static Result<WordPiece> create(const Vocabulary& vocabulary);

  // Appends the tokens of a text.
  void encode(std::string_view text, std::vector<TokenId>& out) const;
  bool folds_case() const { return folds_case_; }

  // The bytes a token's text stands for: a space before those that begin a word.
  static std::string decode(std::string_view text);

 private:
  void encode_word(std::u32string_view word, std::vector<TokenId>& out) const;

  std::unordered_map<std::string, TokenId> ids_;   // of tokens that text may become
  size_t longest_ = 0;                             // code points of one
  TokenId unknown_ = -1;
  bool folds_case_ = true;
};

}  // namespace wenqu::engine
