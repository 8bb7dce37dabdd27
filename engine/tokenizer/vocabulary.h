// The tokens of a model file: their bytes, their kinds, and the way from text to id.
//
// Byte-level BPE writes each byte as one printable character (GPT-2's table), so that tokens of any
// bytes can be kept as text. Here tokens are kept as the bytes they stand for.
//
// Thread safety: immutable after creation.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/status.h"
#include "engine/tokenizer/tokenizer.h"

namespace wenqu::engine {

// GPT-2's character for each byte: printable bytes stand for themselves, the others, in order, for
// U+0100, U+0101 ...
char32_t byte_character(uint8_t byte);

// The bytes behind a token's characters. A character that stands for no byte gives its UTF-8.
std::string characters_to_bytes(std::string_view characters);

class Vocabulary {
 public:
  enum class Kind : uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

  // Errors: corrupt.
  static Result<Vocabulary> read(const gguf::File& file);

  size_t size() const { return texts_.size(); }
  bool contains(TokenId id) const { return id >= 0 && static_cast<size_t>(id) < texts_.size(); }
  // As written in the file: characters of bytes for normal tokens, literal text for the others.
  const std::string& text(TokenId id) const { return texts_[static_cast<size_t>(id)]; }
  Kind kind(TokenId id) const { return kinds_[static_cast<size_t>(id)]; }
  std::optional<TokenId> find(std::string_view text) const;
  // Whether a token is never to come of plain text: control tokens, the unknown one, and user-defined ones such as <think>.
  bool is_mark(TokenId id) const;

  std::optional<TokenId> bos() const { return bos_; }
  bool add_bos() const { return add_bos_; }
  bool is_end_of_generation(TokenId id) const { return ends_.contains(id); }

  // Cuts a text at the tokens that are written out in it, the longest first where several fit: at marks only
  // with `control`, at the other user-defined tokens always, which are characters and words.
  struct Part {
    std::string_view text;
    std::optional<TokenId> token;   // the whole part is this token
  };
  std::vector<Part> cut_at_tokens(std::string_view text, bool control) const;

 private:
  // Literal tokens as a tree of their bytes, so that a step of cut_at_tokens costs no more than the longest one.
  class Literals {
   public:
    Literals() { roots_.fill(kNone); }
    void add(std::string_view text, TokenId id);
    // The longest one that text begins with; {} when there is none.
    struct Match {
      std::optional<TokenId> token;
      size_t length = 0;
    };
    Match match(std::string_view text) const;

   private:
    static constexpr uint32_t kNone = UINT32_MAX;
    struct Node {
      std::optional<TokenId> token;   // the one that ends here
      uint32_t child = kNone;         // the first, and the next one beside this
      uint32_t sibling = kNone;
      char byte = 0;
    };
    uint32_t find_child(uint32_t first, char byte) const {
      while (first != kNone && nodes_[first].byte != byte) first = nodes_[first].sibling;
      return first;
    }

    std::array<uint32_t, 256> roots_;   // by the first byte
    std::vector<Node> nodes_;
  };

  std::vector<std::string> texts_;
  std::vector<Kind> kinds_;
  std::unordered_map<std::string_view, TokenId> ids_;   // views into texts_
  std::optional<TokenId> bos_;
  bool add_bos_ = false;
  std::unordered_set<TokenId> ends_;
  Literals words_;   // what counts in any text
  Literals marks_;   // what counts in template literals: words and marks
};

}  // namespace wenqu::engine
