#include "engine/tokenizer/tokenizer.h"

#include <fmt/format.h>

#include "engine/gguf/file.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/spm.h"
#include "engine/tokenizer/unigram.h"
#include "engine/tokenizer/vocabulary.h"
#include "engine/tokenizer/word_piece.h"

namespace wenqu::engine {
namespace {

constexpr std::string_view kSupported =
    "deepseek-coder, deepseek-llm, deepseek-v3, deepseek-r1-qwen, kimi-k2, llama-bpe, qwen2, qwen35";

// What every kind of tokenizer does alike with its vocabulary.
class VocabularyTokenizer : public Tokenizer {
 public:
  VocabularyTokenizer(Vocabulary vocabulary, std::string pre_name)
      : vocabulary_(std::move(vocabulary)), pre_name_(std::move(pre_name)) {}

  std::vector<TokenId> encode(std::string_view text) const override {
    std::vector<TokenId> ids;
    append(text, false, ids);
    return ids;
  }
  std::vector<TokenId> encode_control(std::string_view text) const override {
    std::vector<TokenId> ids;
    append(text, true, ids);
    return ids;
  }
  std::vector<TokenId> encode(std::span<const Piece> pieces) const override {
    std::vector<TokenId> ids;
    for (const Piece& piece : pieces) append(piece.text, piece.kind == Piece::Kind::control, ids);
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
        return bytes_of(id);
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

 protected:
  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  // Appends the tokens of text in which no literal token is written; `ids` holds those before it.
  virtual void append_plain(std::string_view text, std::vector<TokenId>& ids) const = 0;
  virtual std::string bytes_of(TokenId id) const = 0;

  void append(std::string_view text, bool control, std::vector<TokenId>& ids) const {
    for (const Vocabulary::Part& part : vocabulary_.cut_at_tokens(text, control)) {
      if (part.token) ids.push_back(*part.token);
      else append_plain(part.text, ids);
    }
  }

  Vocabulary vocabulary_;
  std::string pre_name_;
};

class ByteLevelTokenizer : public VocabularyTokenizer {
 public:
  ByteLevelTokenizer(Vocabulary words, Bpe bpe, PreTokenizer pre, std::string pre_name)
      : VocabularyTokenizer(std::move(words), std::move(pre_name)), bpe_(std::move(bpe)), pre_(pre) {
    // Llama 3 takes a word that is a token as it stands, whatever its merges would give.
    if (pre_ == PreTokenizer::llama_bpe)
      for (size_t i = 0; i < vocabulary().size(); ++i) {
        const TokenId id = static_cast<TokenId>(i);
        if (vocabulary().kind(id) == Vocabulary::Kind::normal) whole_words_.emplace(bytes_of(id), id);
      }
  }

 private:
  void append_plain(std::string_view text, std::vector<TokenId>& ids) const override {
    for (std::string_view word : pre_tokenize(pre_, text)) {
      if (!whole_words_.empty())
        if (const auto whole = whole_words_.find(std::string(word)); whole != whole_words_.end()) {
          ids.push_back(whole->second);
          continue;
        }
      bpe_.encode(word, ids);
    }
  }
  std::string bytes_of(TokenId id) const final { return characters_to_bytes(vocabulary().text(id)); }

  Bpe bpe_;
  PreTokenizer pre_;
  std::unordered_map<std::string, TokenId> whole_words_;
};

class SpmTokenizer : public VocabularyTokenizer {
 public:
  SpmTokenizer(Vocabulary words, Spm spm, bool space_prefix)
      : VocabularyTokenizer(std::move(words), "spm"), spm_(std::move(spm)), space_prefix_(space_prefix) {}

 private:
  // A space goes before the text where it begins, or follows a token that is no text.
  void append_plain(std::string_view text, std::vector<TokenId>& ids) const override {
    const bool begins = ids.empty() || vocabulary().kind(ids.back()) == Vocabulary::Kind::control ||
                        vocabulary().kind(ids.back()) == Vocabulary::Kind::user_defined;
    spm_.encode(space_prefix_ && begins ? " " + std::string(text) : std::string(text), ids);
  }
  std::string bytes_of(TokenId id) const override { return Spm::decode(vocabulary().text(id), vocabulary().kind(id)); }

  Spm spm_;
  bool space_prefix_;
};

class WordPieceTokenizer : public VocabularyTokenizer {
 public:
  WordPieceTokenizer(Vocabulary words, WordPiece pieces)
      : VocabularyTokenizer(std::move(words), "bert"), pieces_(std::move(pieces)) {}

 private:
  void append_plain(std::string_view text, std::vector<TokenId>& ids) const override { pieces_.encode(text, ids); }
  std::string bytes_of(TokenId id) const override { return WordPiece::decode(vocabulary().text(id)); }

  WordPiece pieces_;
};

class UnigramTokenizer : public VocabularyTokenizer {
 public:
  UnigramTokenizer(Vocabulary words, Unigram unigram)
      : VocabularyTokenizer(std::move(words), "unigram"), unigram_(std::move(unigram)) {}

 private:
  void append_plain(std::string_view text, std::vector<TokenId>& ids) const override {
    unigram_.encode(text, ids.empty() || vocabulary().is_mark(ids.back()), ids);
  }
  std::string bytes_of(TokenId id) const override { return Spm::decode(vocabulary().text(id), vocabulary().kind(id)); }

  Unigram unigram_;
};

Result<std::shared_ptr<const Tokenizer>> create_unigram(const gguf::File& file) {
  WENQU_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::read(file));
  auto scores = file.get_floats("tokenizer.ggml.scores");
  if (!scores) return Status(StatusCode::corrupt, "is missing, or no list of numbers", "metadata key 'tokenizer.ggml.scores'");
  UnigramOptions options;
  options.space_prefix = file.get_bool("tokenizer.ggml.add_space_prefix").value_or(true);
  options.merge_spaces = file.get_bool("tokenizer.ggml.remove_extra_whitespaces").value_or(true);
  if (file.has("tokenizer.ggml.precompiled_charsmap")) {
    const auto numbers = file.get_ints("tokenizer.ggml.precompiled_charsmap");
    if (!numbers) return Status(StatusCode::corrupt, "is no list of bytes", "metadata key 'tokenizer.ggml.precompiled_charsmap'");
    std::string bytes;
    for (const int64_t number : *numbers) bytes += static_cast<char>(number);
    WENQU_ASSIGN_OR_RETURN(options.map, CharMap::parse(bytes));
  }
  WENQU_ASSIGN_OR_RETURN(Unigram unigram, Unigram::create(vocabulary, std::move(*scores), std::move(options)));
  return std::shared_ptr<const Tokenizer>(std::make_shared<UnigramTokenizer>(std::move(vocabulary), std::move(unigram)));
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> Tokenizer::create(const gguf::File& file) {
  const auto model = file.get_string("tokenizer.ggml.model");
  if (!model) return Status(StatusCode::corrupt, "the file has no tokenizer", "metadata key 'tokenizer.ggml.model'");
  if (*model == "llama") {
    WENQU_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::read(file));
    const auto scores = file.get_floats("tokenizer.ggml.scores");
    if (!scores) return Status(StatusCode::corrupt, "is missing, or no list of numbers", "metadata key 'tokenizer.ggml.scores'");
    WENQU_ASSIGN_OR_RETURN(Spm spm, Spm::create(vocabulary, *scores));
    const bool space_prefix = file.get_bool("tokenizer.ggml.add_space_prefix").value_or(true);
    return std::shared_ptr<const Tokenizer>(std::make_shared<SpmTokenizer>(std::move(vocabulary), std::move(spm), space_prefix));
  }
  if (*model == "t5") return create_unigram(file);   // the name by which files call SentencePiece's unigram model
  if (*model == "bert") {
    WENQU_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::read(file));
    WENQU_ASSIGN_OR_RETURN(WordPiece pieces, WordPiece::create(vocabulary));
    return std::shared_ptr<const Tokenizer>(std::make_shared<WordPieceTokenizer>(std::move(vocabulary), std::move(pieces)));
  }
  if (*model != "gpt2")
    return Status(StatusCode::unsupported,
                  fmt::format("the tokenizer '{}' is not supported; byte-level BPE ('gpt2'), SentencePiece's BPE ('llama') and unigram model "
                              "('t5') and WordPiece ('bert') are", *model),
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
