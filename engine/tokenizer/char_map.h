// SentencePiece's normalisation rules as model files carry them (`precompiled_charsmap`): a double-array trie (Aoe
// 1989, in the layout of Darts) from texts to their replacements, and the replacements, each ended by a zero byte.
//
// Thread safety: immutable after creation. The rules are untrusted: every index is checked before it is used.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace wenqu::engine {

class CharMap {
 public:
  CharMap() = default;   // leaves every text as it is
  // Errors: corrupt.
  static Result<CharMap> parse(std::string_view bytes);

  // The text with the longest match at each place replaced, and each ill-formed sequence replaced by U+FFFD.
  std::string apply(std::string_view text) const;

 private:
  struct Match {
    size_t length = 0;
    std::string_view replacement;
  };
  Match longest(std::string_view text) const;

  std::vector<uint32_t> units_;
  std::string replacements_;   // ends with a zero byte
};

}  // namespace wenqu::engine
