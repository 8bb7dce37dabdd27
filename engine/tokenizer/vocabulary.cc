#include "engine/tokenizer/vocabulary.h"

#include <fmt/format.h>

#include "base/utf8.h"
#include "engine/gguf/file.h"
#include "engine/tokenizer/pre_tokenizer.h"

namespace wenqu::engine {
namespace {

constexpr size_t kMaxTokens = 1 << 24;
constexpr size_t kMaxTokenBytes = 64 << 10;
constexpr size_t kMaxLiteralBytes = 512;   // of a token that is looked for in texts; real ones have some dozens

// Ends of a turn that files do not always name by id.
constexpr std::string_view kEndTexts[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|end_of_text|>", "<|endoftext|>", "<|eom_id|>", "<EOT>", "_<EOT>",
    "<｜end▁of▁sentence｜>", "[EOT]", "[EOS]", "<end_of_turn>",
};

bool stands_for_itself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct ByteTable {
  std::array<char32_t, 256> to_character{};
  std::unordered_map<char32_t, uint8_t> to_byte;
  ByteTable() {
    char32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      to_character[byte] = stands_for_itself(byte) ? byte : next++;
      to_byte.emplace(to_character[byte], static_cast<uint8_t>(byte));
    }
  }
};

const ByteTable& byte_table() {
  static const auto& table = *new const ByteTable;   // never destroyed: a host may exit while answers run
  return table;
}

Status bad(std::string_view key, std::string what) {
  return Status(StatusCode::corrupt, std::move(what), fmt::format("metadata key '{}'", key));
}

bool looks_like_mark(std::string_view text) { return text.size() > 2 && text.front() == '<' && text.back() == '>'; }

// An optional token id. Errors: corrupt when it is not in the vocabulary.
Result<std::optional<TokenId>> read_id(const gguf::File& file, std::string_view key, size_t size) {
  if (!file.has(key)) return std::optional<TokenId>();
  const auto id = file.get_uint(key);
  if (!id || *id >= size) return bad(key, fmt::format("is not an id below {}", size));
  return std::optional<TokenId>(static_cast<TokenId>(*id));
}

}  // namespace

char32_t byte_character(uint8_t byte) { return byte_table().to_character[byte]; }

std::string characters_to_bytes(std::string_view characters) {
  std::string bytes;
  for (size_t pos = 0; pos < characters.size();) {
    const size_t begin = pos;
    const auto found = byte_table().to_byte.find(utf8_next(characters, pos));
    if (found != byte_table().to_byte.end())
      bytes += static_cast<char>(found->second);
    else
      bytes += characters.substr(begin, pos - begin);
  }
  return bytes;
}

void Vocabulary::Literals::add(std::string_view text, TokenId id) {
  uint32_t node = kNone;
  for (const char c : text) {
    const uint32_t first = node == kNone ? roots_[static_cast<unsigned char>(c)] : nodes_[node].child;
    uint32_t child = find_child(first, c);
    if (child == kNone) {
      child = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back({std::nullopt, kNone, first, c});
      (node == kNone ? roots_[static_cast<unsigned char>(c)] : nodes_[node].child) = child;
    }
    node = child;
  }
  if (node != kNone && !nodes_[node].token) nodes_[node].token = id;
}

Vocabulary::Literals::Match Vocabulary::Literals::match(std::string_view text) const {
  Match longest;
  uint32_t node = text.empty() ? kNone : roots_[static_cast<unsigned char>(text[0])];
  for (size_t i = 1; node != kNone; ++i) {
    if (nodes_[node].token) longest = {nodes_[node].token, i};
    node = i < text.size() ? find_child(nodes_[node].child, text[i]) : kNone;
  }
  return longest;
}

Result<Vocabulary> Vocabulary::read(const gguf::File& file) {
  const auto tokens = file.get_strings("tokenizer.ggml.tokens");
  if (!tokens) return bad("tokenizer.ggml.tokens", "is missing, or no list of strings");
  if (tokens->empty() || tokens->size() > kMaxTokens)
    return bad("tokenizer.ggml.tokens", fmt::format("has {} tokens; 1 to {} are allowed", tokens->size(), kMaxTokens));
  Vocabulary vocabulary;
  const size_t size = tokens->size();
  vocabulary.texts_.reserve(size);
  for (std::string_view token : *tokens) {
    if (token.size() > kMaxTokenBytes)
      return bad("tokenizer.ggml.tokens", fmt::format("token {} has {} bytes", vocabulary.texts_.size(), token.size()));
    vocabulary.texts_.emplace_back(token);
  }
  vocabulary.kinds_.assign(size, Kind::normal);
  if (file.has("tokenizer.ggml.token_type")) {
    const auto kinds = file.get_ints("tokenizer.ggml.token_type");
    if (!kinds || kinds->size() != size)
      return bad("tokenizer.ggml.token_type", fmt::format("is not a list of {} numbers", size));
    for (size_t i = 0; i < size; ++i) {
      if ((*kinds)[i] < 0 || (*kinds)[i] > 6)
        return bad("tokenizer.ggml.token_type", fmt::format("token {} has the unknown kind {}", i, (*kinds)[i]));
      if ((*kinds)[i] != 0) vocabulary.kinds_[i] = static_cast<Kind>((*kinds)[i]);
    }
  }
  vocabulary.ids_.reserve(size);
  for (size_t i = 0; i < size; ++i) {
    const TokenId id = static_cast<TokenId>(i);
    const std::string_view text = vocabulary.texts_[i];
    vocabulary.ids_.emplace(text, id);
    const Kind kind = vocabulary.kinds_[i];
    if (kind != Kind::control && kind != Kind::user_defined) continue;
    if (text.size() > kMaxLiteralBytes)
      return bad("tokenizer.ggml.tokens", fmt::format("token {} is a control or user-defined token of {} bytes; {} are allowed", i,
                                                      text.size(), kMaxLiteralBytes));
    vocabulary.marks_.add(text, id);
    if (kind == Kind::user_defined && !looks_like_mark(text)) vocabulary.words_.add(text, id);
  }

  WENQU_ASSIGN_OR_RETURN(vocabulary.bos_, read_id(file, "tokenizer.ggml.bos_token_id", size));
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    WENQU_ASSIGN_OR_RETURN(const std::optional<TokenId> end, read_id(file, key, size));
    if (end) vocabulary.ends_.insert(*end);
  }
  for (std::string_view text : kEndTexts)
    if (const auto id = vocabulary.find(text)) vocabulary.ends_.insert(*id);
  const bool llama = find_pre_tokenizer(file.get_string("tokenizer.ggml.pre").value_or("")) == PreTokenizer::llama_bpe ||
                     file.get_string("tokenizer.ggml.model") == "llama";
  vocabulary.add_bos_ = vocabulary.bos_ && file.get_bool("tokenizer.ggml.add_bos_token").value_or(llama);
  return vocabulary;
}

std::optional<TokenId> Vocabulary::find(std::string_view text) const {
  const auto found = ids_.find(text);
  return found == ids_.end() ? std::nullopt : std::optional<TokenId>(found->second);
}

bool Vocabulary::is_mark(TokenId id) const {
  return kind(id) == Kind::control || kind(id) == Kind::unknown || (kind(id) == Kind::user_defined && looks_like_mark(text(id)));
}

std::vector<Vocabulary::Part> Vocabulary::cut_at_tokens(std::string_view text, bool control) const {
  const Literals& literals = control ? marks_ : words_;
  std::vector<Part> parts;
  size_t begin = 0;
  for (size_t pos = 0; pos < text.size();) {
    const Literals::Match found = literals.match(text.substr(pos));
    if (!found.token) {
      ++pos;
      continue;
    }
    if (begin < pos) parts.push_back({text.substr(begin, pos - begin), std::nullopt});
    parts.push_back({text.substr(pos, found.length), found.token});
    begin = pos += found.length;
  }
  if (begin < text.size()) parts.push_back({text.substr(begin), std::nullopt});
  return parts;
}

}  // namespace wenqu::engine
