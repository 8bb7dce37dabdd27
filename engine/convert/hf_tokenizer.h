// The tokenizer of a model's folder as GGUF metadata: byte-level BPE from tokenizer.json, or from tiktoken.model.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/convert/json.h"
#include "engine/gguf/writer.h"

namespace wenqu::engine::convert {

struct HfTokenizer {
  std::string pre;                      // name of the pre-tokenizer
  std::vector<std::string> tokens;      // by id: characters of bytes, or literal text of added tokens
  std::vector<int32_t> kinds;           // as Vocabulary::Kind
  std::vector<std::string> merges;      // "left right"
  bool begins_with_bos = false;         // what tokenizer.json's own post-processing says

  // The id of an added token's text, or -1.
  int64_t added(std::string_view text) const;
};

// What can be in a vocabulary of `rows` rows; ids that no token has become unused ones.
// `pre`: the pre-tokenizer's name where the file's is not to be recognised; may be empty.
// Errors: corrupt, unsupported (another kind of tokenizer; a pre-tokenizer that is not recognised, which is shown).
Result<HfTokenizer> read_tokenizer_json(const Object& json, uint64_t rows, const std::string& pre);

// The name of the pre-tokenizer whose regular expressions these are; empty when there is none.
std::string_view recognise_pre_tokenizer(const std::vector<std::string>& patterns);

// tiktoken's own form: lines of a token in base64 and its rank. The merges are found again from the ranks. Added tokens
// come from `config` (tokenizer_config.json).
Result<HfTokenizer> read_tiktoken(std::string_view text, const Object& config, std::string_view place, uint64_t rows,
                                  const std::string& pre);

// All of the folder: the tokenizer, its beginning and end of text, the chat template. `config` is config.json.
Status write_tokenizer(const std::string& folder, const Object& config, uint64_t rows, const std::string& pre, gguf::Writer& writer);

}  // namespace wenqu::engine::convert
