#include "engine/tokenizer/word_piece.h"

#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>

#include "base/utf8.h"

namespace wenqu::engine {
namespace {

constexpr std::string_view kWordBegin = "\u2581";
constexpr size_t kMaxWord = 100;   // characters, as BERT has it

// The blocks of ideographs that BERT sets apart.
bool is_ideograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B820 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

// All of ASCII that is neither letter, digit nor space counts as punctuation.
bool is_punctuation(char32_t c) {
  if ((c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126)) return true;
  return u_ispunct(static_cast<UChar32>(c));
}

bool is_space(char32_t c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || u_charType(static_cast<UChar32>(c)) == U_SPACE_SEPARATOR;
}

// Control and format characters, those not assigned among them, and what stands for broken text.
bool is_nothing(char32_t c) {
  return c == 0 || c == kReplacementCharacter || (U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_C_MASK) != 0;
}

// Lower case, decomposed, without accents.
std::u32string folded(const std::u32string& text) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* decomposition = icu::Normalizer2::getNFDInstance(error);
  if (U_FAILURE(error)) return text;
  const icu::UnicodeString plain =
      icu::UnicodeString::fromUTF32(reinterpret_cast<const UChar32*>(text.data()), static_cast<int32_t>(text.size()));
  // Case goes first, as a capital may be lowered to a letter with an accent.
  const icu::UnicodeString decomposed = decomposition->normalize(icu::UnicodeString(plain).toLower(icu::Locale::getRoot()), error);
  if (U_FAILURE(error)) return text;
  std::u32string out;
  for (int32_t i = 0; i < decomposed.length(); i = decomposed.moveIndex32(i, 1)) {
    const UChar32 c = decomposed.char32At(i);
    if (u_charType(c) != U_NON_SPACING_MARK) out += static_cast<char32_t>(c);
  }
  return out;
}

bool has_capital(std::string_view text) {
  for (size_t pos = 0; pos < text.size();)
    if (u_isupper(static_cast<UChar32>(utf8_next(text, pos)))) return true;
  return false;
}

}  // namespace

Result<WordPiece> WordPiece::create(const Vocabulary& vocabulary) {
  WordPiece words;
  if (const auto unknown = vocabulary.find("[UNK]")) words.unknown_ = *unknown;
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const TokenId id = static_cast<TokenId>(i);
    const std::string& text = vocabulary.text(id);
    if (vocabulary.kind(id) == Vocabulary::Kind::unknown) words.unknown_ = id;
    // No text becomes a mark, however it is spelled; files that state no kinds write marks in brackets.
    const bool bracketed = text.size() > 2 && text.front() == '[' && text.back() == ']';
    if (vocabulary.is_mark(id) || bracketed || text.empty()) continue;
    words.ids_.emplace(text, id);
    words.longest_ = std::max(words.longest_, utf8_length(text));
    words.folds_case_ = words.folds_case_ && !has_capital(text);
  }
  if (words.unknown_ < 0)
    return Status(StatusCode::corrupt, "has no unknown token, such as [UNK]", "metadata key 'tokenizer.ggml.tokens'");
  return words;
}

void WordPiece::encode(std::string_view text, std::vector<TokenId>& out) const {
  std::u32string points = utf8_to_utf32(text);
  if (folds_case_) points = folded(points);
  std::u32string word;
  const auto finish = [&] {
    if (!word.empty()) encode_word(word, out);
    word.clear();
  };
  for (const char32_t c : points) {
    if (is_space(c)) {
      finish();
    } else if (is_nothing(c)) {
      continue;
    } else if (is_punctuation(c) || is_ideograph(c)) {
      finish();
      encode_word(std::u32string_view(&c, 1), out);
    } else {
      word += c;
    }
  }
  finish();
}

void WordPiece::encode_word(std::u32string_view word, std::vector<TokenId>& out) const {
  const size_t before = out.size();
  std::string key;
  for (size_t begin = 0; word.size() <= kMaxWord && begin < word.size();) {
    bool found = false;
    for (size_t length = std::min(word.size() - begin, longest_); length > 0 && !found; --length) {
      key = begin == 0 ? kWordBegin : std::string_view();
      key += utf32_to_utf8(word.substr(begin, length));
      const auto id = ids_.find(key);
      if (id == ids_.end()) continue;
      out.push_back(id->second);
      begin += length;
      found = true;
    }
    if (!found) {
      out.resize(before);
      break;
    }
  }
  if (out.size() == before) out.push_back(unknown_);
}

std::string WordPiece::decode(std::string_view text) {
  return text.starts_with(kWordBegin) ? " " + std::string(text.substr(kWordBegin.size())) : std::string(text);
}

}  // namespace wenqu::engine
