// Byte-pair encoding of one word: adjacent symbols are merged, the pair of the lowest rank first, the
// leftmost where ranks are equal (Sennrich, Haddow, Birch 2016, over bytes as in GPT-2). O(n log n).
//
// Thread safety: immutable after creation.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "engine/tokenizer/vocabulary.h"

namespace wenqu::engine {

class Bpe {
 public:
  // `merges`: "left right", the most important first. Errors: corrupt.
  static Result<Bpe> create(const Vocabulary& vocabulary, const std::vector<std::string_view>& merges);

  // Appends the tokens of a word, given as bytes. Bytes of which no token is made are left out.
  void encode(std::string_view word, std::vector<TokenId>& out) const;

 private:
  using Symbol = uint32_t;   // below vocabulary size: the token; above: a text that is no token
  static constexpr Symbol kNone = UINT32_MAX;

  struct Merge {
    uint32_t rank;
    Symbol result;
  };
  static uint64_t pair_key(Symbol left, Symbol right) { return static_cast<uint64_t>(left) << 32 | right; }
  void emit(Symbol symbol, std::string_view bytes, std::vector<TokenId>& out) const;

  size_t tokens_ = 0;
  std::array<Symbol, 256> byte_symbols_{};
  std::unordered_map<uint64_t, Merge> merges_;
};

}  // namespace wenqu::engine
