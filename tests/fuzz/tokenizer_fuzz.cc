// Any bytes as text for each kind of tokenizer, over a small vocabulary. The first byte chooses the tokenizer,
// the rest is the text; 0x1D divides it into pieces, which are in turn plain and control.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/gguf/file.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/fuzz/check.h"
#include "tests/support/mini_vocabulary.h"

namespace {

using namespace wenqu;
using namespace wenqu::engine;

constexpr std::string_view kPreTokenizers[] = {"deepseek-coder", "deepseek-llm", "deepseek-v3", "kimi-k2", "llama-bpe", "qwen2",
                                              "qwen35"};

struct Subject {
  std::shared_ptr<const Tokenizer> tokenizer;
  bool byte_level = false;
  PreTokenizer pre = PreTokenizer::qwen2;   // byte_level
  bool space_prefix = false;                // SentencePiece
};

std::shared_ptr<const Tokenizer> create(const test::GgufWriter& writer) {
  const std::string bytes = writer.bytes();
  const auto file = gguf::File::parse(std::as_bytes(std::span(bytes)));
  WENQU_FUZZ_CHECK(file);
  const auto tokenizer = Tokenizer::create(**file);
  WENQU_FUZZ_CHECK(tokenizer);
  return *tokenizer;
}

std::vector<Subject> make_subjects() {
  std::vector<Subject> subjects;
  for (const std::string_view name : kPreTokenizers) {
    test::GgufWriter writer;
    test::MiniVocabulary().write(writer, name, true);
    subjects.push_back({create(writer), true, *find_pre_tokenizer(name)});
  }
  for (const bool space_prefix : {false, true}) {
    test::GgufWriter writer;
    test::MiniSpmVocabulary().write(writer);
    writer.set_bool("tokenizer.ggml.add_space_prefix", space_prefix);
    subjects.push_back({create(writer), false, {}, space_prefix});
  }
  return subjects;
}

bool is_mark(const Tokenizer& tokenizer, TokenId id) {
  return tokenizer.is_control(id) || id == tokenizer.find("<think>") || id == tokenizer.find("</think>");
}

// SentencePiece writes a space as U+2581 and cannot tell the two apart afterwards.
std::string with_spaces(std::string_view text) {
  constexpr std::string_view kSpace = "\u2581";
  std::string out;
  for (size_t pos = 0; pos < text.size();)
    if (text.substr(pos).starts_with(kSpace)) out += ' ', pos += kSpace.size();
    else out += text[pos++];
  return out;
}

void check_text(const Subject& subject, std::string_view text) {
  const Tokenizer& tokenizer = *subject.tokenizer;
  std::string back;
  for (const TokenId id : tokenizer.encode(text)) {
    WENQU_FUZZ_CHECK(!is_mark(tokenizer, id));
    back += tokenizer.decode(id);
  }
  if (subject.byte_level) {
    WENQU_FUZZ_CHECK(back == text);
    std::string whole;
    for (const std::string_view word : pre_tokenize(subject.pre, text)) {
      WENQU_FUZZ_CHECK(!word.empty());
      whole += word;
    }
    WENQU_FUZZ_CHECK(whole == text);
  } else {
    const bool prefixed = subject.space_prefix && !text.empty();
    WENQU_FUZZ_CHECK(back == (prefixed ? " " : "") + with_spaces(text));
  }
  std::string spelled;
  for (const TokenId id : tokenizer.encode_control(text)) spelled += tokenizer.decode(id, true);
  if (subject.byte_level) WENQU_FUZZ_CHECK(spelled == text);
}

void check_pieces(const Subject& subject, std::string_view text) {
  const Tokenizer& tokenizer = *subject.tokenizer;
  std::vector<Piece> plain, mixed;
  for (bool control = false;; control = !control) {
    const size_t end = text.find('\x1D');
    const std::string part(text.substr(0, end));
    plain.push_back(Piece::plain(part));
    mixed.push_back(control ? Piece::control(part) : Piece::plain(part));
    if (end == text.npos) break;
    text.remove_prefix(end + 1);
  }
  WENQU_FUZZ_CHECK(tokenizer.add_bos());
  const TokenId bos = *tokenizer.bos();
  size_t begins = 0;
  const std::vector<TokenId> ids = tokenizer.encode(plain);
  for (const TokenId id : ids) begins += id == bos;
  WENQU_FUZZ_CHECK(begins == 1 && ids.front() == bos);
  WENQU_FUZZ_CHECK(tokenizer.encode(mixed).front() == bos);
  // A template that spells the beginning gets no second one.
  plain.insert(plain.begin(), Piece::control(tokenizer.decode(bos, true)));
  WENQU_FUZZ_CHECK(tokenizer.encode(plain) == ids);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<Subject> subjects = make_subjects();
  if (size == 0) return 0;
  const Subject& subject = subjects[data[0] % subjects.size()];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  check_text(subject, text);
  check_pieces(subject, text);
  return 0;
}
