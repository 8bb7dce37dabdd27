#include "engine/tokenizer/pre_tokenizer.h"

#include <gtest/gtest.h>
#include <unicode/regex.h>

#include <random>

#include "base/utf8.h"

namespace wenqu::engine {
namespace {

// The regular expressions the models were trained with, run by ICU: slow, but their definition.
const char* const kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char* const kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char* const kLlama =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::vector<const char*> kDeepseekV3 = {
    R"(\p{N}{1,3})",
    R"([一-龥぀-ゟ゠-ヿ]+)",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
};
// Written in escapes: some of these letters have canonical equivalents that tools like to put in their place.
const std::vector<const char*> kDeepseekLlm = {
    R"([\r\n])",
    R"(\s?[A-Za-z)"
    R"(\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF)"
    R"(\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3)"
    R"(-\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD)"
    R"(\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15\u1F18-)"
    R"(\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-)"
    R"(\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-)"
    R"(\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126)"
    R"(\u2128\u212A-\u212D\u212F-\u2134\u2139\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00)"
    R"(-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B\uA722-\uA76F)"
    R"(\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A\uFF41-)"
    R"(\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-)"
    R"(\U00010CB2\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943)"
    R"(]+)",
    R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)",
    R"(\s+$)",
    R"([一-龥ࠀ-一가-퟿]+)",
    R"(\p{N}+)",
};

const std::vector<const char*> kDeepseekCoder = {
    R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", R"([一-龥ࠀ-一가-퟿]+)", R"(\p{N})",
};
const char* const kKimiK2 =
    R"([\p{Han}]+|)"
    R"([^\r\n\p{L}\p{N}]?[[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]&&[^\p{Han}]]*[[\p{Ll}\p{Lm}\p{Lo}\p{M}]&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]&&[^\p{Han}]]+[[\p{Ll}\p{Lm}\p{Lo}\p{M}]&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

using Pieces = std::vector<std::string>;

Pieces split_by(const Pieces& pieces, const char* pattern) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::RegexPattern* compiled = icu::RegexPattern::compile(icu::UnicodeString::fromUTF8(pattern), 0, error);
  EXPECT_TRUE(U_SUCCESS(error)) << u_errorName(error) << " " << pattern;
  Pieces out;
  for (const std::string& piece : pieces) {
    const icu::UnicodeString text = icu::UnicodeString::fromUTF8(piece);
    std::unique_ptr<icu::RegexMatcher> matcher(compiled->matcher(text, error));
    int32_t gap = 0;
    const auto add = [&](int32_t begin, int32_t end) {
      std::string utf8;
      text.tempSubStringBetween(begin, end).toUTF8String(utf8);
      if (!utf8.empty()) out.push_back(utf8);
    };
    while (matcher->find(error)) {
      add(gap, matcher->start(error));
      add(matcher->start(error), matcher->end(error));
      gap = matcher->end(error);
    }
    add(gap, text.length());
  }
  delete compiled;
  return out;
}

Pieces oracle(PreTokenizer kind, const std::string& text) {
  Pieces pieces = {text};
  switch (kind) {
    case PreTokenizer::qwen2: return split_by(pieces, kQwen2);
    case PreTokenizer::qwen35: return split_by(pieces, kQwen35);
    case PreTokenizer::llama_bpe: return split_by(pieces, kLlama);
    case PreTokenizer::kimi_k2: return split_by(pieces, kKimiK2);
    case PreTokenizer::deepseek_coder:
      for (const char* pattern : kDeepseekCoder) pieces = split_by(pieces, pattern);
      return pieces;
    case PreTokenizer::deepseek_v3:
      for (const char* pattern : kDeepseekV3) pieces = split_by(pieces, pattern);
      return pieces;
    case PreTokenizer::deepseek_llm:
      for (const char* pattern : kDeepseekLlm) pieces = split_by(pieces, pattern);
      return pieces;
  }
  return pieces;
}

Pieces ours(PreTokenizer kind, const std::string& text) {
  Pieces pieces;
  for (std::string_view piece : pre_tokenize(kind, text)) pieces.emplace_back(piece);
  return pieces;
}

constexpr PreTokenizer kKinds[] = {PreTokenizer::deepseek_coder, PreTokenizer::deepseek_llm, PreTokenizer::deepseek_v3,
                                 PreTokenizer::kimi_k2, PreTokenizer::qwen2, PreTokenizer::qwen35, PreTokenizer::llama_bpe};

TEST(PreTokenizer, CutsLikeTheRegularExpressionsOfTheModels) {
  const std::u32string alphabet =
      U"aZsSdDtTrevmlLǅʰ々〇⺀''''\u017F0123456789٣五一问渠龥鿿ひらカㇰ한글אبé\u0301\u0941  \t\n\r\u00A0\u3000\u2028\u0085.,!?()[]{}<>|~^`$+=-_/\\@#%&*:;\"，。！“”…€©™→½²Ⅷ🙂👍\u200D\uFE0FＡｚ０À";
  std::mt19937 random(20261124);
  for (int round = 0; round < 1500; ++round) {
    std::u32string text;
    const size_t length = 1 + random() % 24;
    for (size_t i = 0; i < length; ++i) {
      text += alphabet[random() % alphabet.size()];
      if (random() % 4 == 0) text += text.back();   // runs
    }
    const std::string utf8 = utf32_to_utf8(text);
    for (PreTokenizer kind : kKinds) ASSERT_EQ(ours(kind, utf8), oracle(kind, utf8)) << static_cast<int>(kind) << " " << utf8;
  }
}

TEST(PreTokenizer, PiecesAddUpToTheTextWhateverItsBytes) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    std::string bytes;
    for (size_t i = random() % 40; i > 0; --i) bytes += static_cast<char>(random());
    for (PreTokenizer kind : kKinds) {
      std::string sum;
      for (std::string_view piece : pre_tokenize(kind, bytes)) {
        EXPECT_FALSE(piece.empty());
        sum += piece;
      }
      EXPECT_EQ(sum, bytes);
    }
  }
}

TEST(PreTokenizer, AMillionOfOneCharacterNeitherOverflowsNorStalls) {
  for (PreTokenizer kind : kKinds)
    for (char c : {'a', ' ', '\n', '!', '7'}) {
      const std::string text(1 << 20, c);
      size_t sum = 0;
      for (std::string_view piece : pre_tokenize(kind, text)) sum += piece.size();
      EXPECT_EQ(sum, text.size());
    }
}

TEST(PreTokenizer, KnowsItsNames) {
  EXPECT_EQ(find_pre_tokenizer("deepseek-r1-qwen"), PreTokenizer::qwen2);
  EXPECT_EQ(find_pre_tokenizer("deepseek-v3"), PreTokenizer::deepseek_v3);
  EXPECT_EQ(find_pre_tokenizer("joyai-llm"), PreTokenizer::deepseek_v3);
  EXPECT_EQ(find_pre_tokenizer("falcon3"), PreTokenizer::llama_bpe);
  EXPECT_EQ(find_pre_tokenizer("qwen35"), PreTokenizer::qwen35);
  EXPECT_EQ(find_pre_tokenizer("gpt-2"), std::nullopt);
}

}  // namespace
}  // namespace wenqu::engine
