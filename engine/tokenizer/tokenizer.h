// Text <-> token ids, as the model was trained with. Byte-level BPE with the pre-tokenizers
// deepseek-coder, deepseek-llm, deepseek-v3, kimi-k2, qwen2 (also deepseek-r1-qwen), qwen35 and llama-bpe,
// SentencePiece's BPE or unigram model, or BERT's WordPiece; the vocabulary and the name of the pre-tokenizer come from the model file. Encoding takes
// time linear (up to a log factor) in the text's length, whatever the text is.
//
// Thread safety: immutable after creation. Any bytes are accepted as text.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/tokenizer/piece.h"

namespace wenqu::engine {

namespace gguf {
class File;
}

using TokenId = int32_t;

class Tokenizer {
 public:
  // Errors: corrupt (the vocabulary breaks its own rules), unsupported (naming the tokenizer or
  // pre-tokenizer and listing those that are supported).
  static Result<std::shared_ptr<const Tokenizer>> create(const gguf::File& file);
  virtual ~Tokenizer() = default;

  // Plain text: no control token comes of it and no BOS is put before it.
  virtual std::vector<TokenId> encode(std::string_view text) const = 0;
  // Text in which spelled-out control tokens count. For template literals only.
  virtual std::vector<TokenId> encode_control(std::string_view text) const = 0;
  // Each piece by its kind, one after the other; exactly one BOS at the start when the model wants
  // one (also when the first piece spells it).
  virtual std::vector<TokenId> encode(std::span<const Piece> pieces) const = 0;

  // The bytes a token stands for: part of a character, maybe. Control tokens give nothing, unless
  // `spell_control`. An id out of range gives nothing.
  virtual std::string decode(TokenId id, bool spell_control = false) const = 0;

  virtual std::optional<TokenId> find(std::string_view token_text) const = 0;
  virtual std::optional<TokenId> bos() const = 0;
  virtual bool add_bos() const = 0;
  // Tokens after which the model has finished its turn.
  virtual bool is_end_of_generation(TokenId id) const = 0;
  virtual bool is_control(TokenId id) const = 0;
  // Number of tokens, the padding of the embedding matrix not counted.
  virtual size_t size() const = 0;
  virtual std::string_view pre_tokenizer() const = 0;
};

}  // namespace wenqu::engine
