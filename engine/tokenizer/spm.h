// SentencePiece's BPE, of Llama 2 and models after it: adjacent pieces are joined whose concatenation is a
// token, the one of the highest score first, the leftmost where scores are equal. Spaces are written as
// U+2581. What is no token is spelled in byte tokens "<0xXX>". O(n log n).
//
// Thread safety: immutable after creation.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "engine/tokenizer/vocabulary.h"

namespace wenqu::engine {

class Spm {
 public:
  // scores: one for each token. Errors: corrupt.
  static Result<Spm> create(const Vocabulary& vocabulary, std::vector<float> scores);

  // Appends the tokens of a text.
  void encode(std::string_view text, std::vector<TokenId>& out) const;

  // The bytes a token's text stands for.
  static std::string decode(std::string_view text, Vocabulary::Kind kind);

 private:
  std::unordered_map<std::string, TokenId> ids_;   // of tokens that text may become
  std::vector<float> scores_;
  std::array<TokenId, 256> bytes_{};               // -1: none
  TokenId unknown_ = -1;
};

}  // namespace wenqu::engine
