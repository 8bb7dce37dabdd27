#include "engine/tokenizer/tokenizer.h"

#include <fmt/format.h>

#include "engine/gguf/file.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/vocabulary.h"

namespace wenqu::engine {
namespace {

constexpr std::string_view kSupported = "deepseek-llm, deepseek-v3, qwen2, deepseek-r1-qwen, llama-bpe";

class ByteLevelTokenizer : public Tokenizer {
 public:
  ByteLevelTokenizer(Vocabulary vocabulary, Bpe bpe, PreTokenizer pre, std::string pre_name)
      : vocabulary_(std::move(vocabulary)), bpe_(std::move(bpe)), pre_(pre), pre_name_(std::move(pre_name)) {
    // Llama 3 takes a word that is a token as it stands, whatever its merges would give.
    if (pre_ == PreTokenizer::llama_bpe)
      for (size_t i = 0; i < vocabulary_.size(); ++i) {
        const TokenId id = static_cast<TokenId>(i);
        if (vocabulary_.kind(id) == Vocabulary::Kind::normal) whole_words_.emplace(characters_to_bytes(vocabulary_.text(id)), id);
      }
  }

  std::vector<TokenId> encode(std::string_view text) const override { return encode(text, false); }
  std::vector<TokenId> encode_control(std::string_view text) const override { return encode(text, true); }

  std::vector<TokenId> encode(std::span<const Piece> pieces) const override {
    std::vector<TokenId> ids;
    for (const Piece& piece : pieces) {
      const std::vector<TokenId> more = encode(piece.text, piece.kind == Piece::Kind::control);
      ids.insert(ids.end(), more.begin(), more.end());
    }
    if (vocabulary_.add_bos() && (ids.empty() || ids.front() != *vocabulary_.bos()))
      ids.insert(ids.begin(), *vocabulary_.bos());
    return ids;
  }

  std::string decode(TokenId id, bool spell_control) const override {
    if (!vocabulary_.contains(id)) return {};
    switch (vocabulary_.kind(id)) {
      case Vocabulary::Kind::control:
      case Vocabulary::Kind::unknown:
        return spell_control ? vocabulary_.text(id) : std::string();
      case Vocabulary::Kind::user_defined:
        return vocabulary_.text(id);
      default:
        return characters_to_bytes(vocabulary_.text(id));
    }
  }

  std::optional<TokenId> find(std::string_view text) const override { return vocabulary_.find(text); }
  std::optional<TokenId> bos() const override { return vocabulary_.bos(); }
  bool add_bos() const override { return vocabulary_.add_bos(); }
  bool is_end_of_generation(TokenId id) const override { return vocabulary_.is_end_of_generation(id); }
  bool is_control(TokenId id) const override {
    return vocabulary_.contains(id) && vocabulary_.kind(id) == Vocabulary::Kind::control;
  }
  size_t size() const override { return vocabulary_.size(); }
  std::string_view pre_tokenizer() const override { return pre_name_; }

 private:
  std::vector<TokenId> encode(std::string_view text, bool control) const {
    std::vector<TokenId> ids;
    for (const Vocabulary::Part& part : vocabulary_.cut_at_tokens(text, control)) {
      if (part.token) {
        ids.push_back(*part.token);
        continue;
      }
      for (std::string_view word : pre_tokenize(pre_, part.text)) {
        if (!whole_words_.empty())
          if (const auto whole = whole_words_.find(std::string(word)); whole != whole_words_.end()) {
            ids.push_back(whole->second);
            continue;
          }
        bpe_.encode(word, ids);
      }
    }
    return ids;
  }

  Vocabulary vocabulary_;
  Bpe bpe_;
  PreTokenizer pre_;
  std::string pre_name_;
  std::unordered_map<std::string, TokenId> whole_words_;
};

}  // namespace

Result<std::shared_ptr<const Tokenizer>> Tokenizer::create(const gguf::File& file) {
  const auto model = file.get_string("tokenizer.ggml.model");
  if (!model) return Status(StatusCode::corrupt, "the file has no tokenizer", "metadata key 'tokenizer.ggml.model'");
  if (*model != "gpt2")
    return Status(StatusCode::unsupported, fmt::format("the tokenizer '{}' is not supported, byte-level BPE ('gpt2') is", *model),
                  "metadata key 'tokenizer.ggml.model'");
  const std::string_view pre_name = file.get_string("tokenizer.ggml.pre").value_or("");
  const auto pre = find_pre_tokenizer(pre_name);
  if (!pre)
    return Status(StatusCode::unsupported,
                  fmt::format("the pre-tokenizer '{}' is not supported; supported are {}", pre_name, kSupported),
                  "metadata key 'tokenizer.ggml.pre'");
  WENQU_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::read(file));
  const auto merges = file.get_strings("tokenizer.ggml.merges");
  if (!merges)
    return Status(StatusCode::corrupt, "is missing, or no list of strings", "metadata key 'tokenizer.ggml.merges'");
  WENQU_ASSIGN_OR_RETURN(Bpe bpe, Bpe::create(vocabulary, *merges));
  return std::shared_ptr<const Tokenizer>(
      std::make_shared<ByteLevelTokenizer>(std::move(vocabulary), std::move(bpe), *pre, std::string(pre_name)));
}

}  // namespace wenqu::engine
