#include <gtest/gtest.h>

#include <cstring>

#include "engine/gguf/file.h"
#include "engine/tokenizer/char_map.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/support/reference_encoder.h"

namespace wenqu::engine {
namespace {

// Bytes that lie as a mapped file's do, and the tokenizer made of them.
struct Loaded {
  explicit Loaded(const test::GgufWriter& writer) {
    const std::string text = writer.bytes();
    bytes.resize((text.size() + sizeof(uint64_t) - 1) / sizeof(uint64_t));
    std::memcpy(bytes.data(), text.data(), text.size());
    file = *gguf::File::parse({reinterpret_cast<const std::byte*>(bytes.data()), text.size()});
    tokenizer = *Tokenizer::create(*file);
  }
  std::string spelled(std::string_view text) const {
    std::string out;
    for (const TokenId id : tokenizer->encode(text)) out += (out.empty() ? "" : "|") + tokenizer->decode(id, true);
    return out;
  }
  std::vector<uint64_t> bytes;
  std::shared_ptr<const gguf::File> file;
  std::shared_ptr<const Tokenizer> tokenizer;
};

TEST(WordPiece, CutsWordsIntoTheLongestTokensFromTheirBeginning) {
  const Loaded bert(test::ReferenceEncoder({}).writer());
  EXPECT_EQ(bert.spelled("Bridges, unbridged!"), " bridge|s| ,| un|b|r|i|d|g|ed| !");
  EXPECT_EQ(bert.spelled("stoneable the"), " stone|able| the");
}

TEST(WordPiece, SetsChineseCharactersApart) {
  const Loaded bert(test::ReferenceEncoder({}).writer());
  EXPECT_EQ(bert.spelled("石桥a水"), " 石| 桥| a| 水");
}

TEST(WordPiece, FoldsCaseAndAccentsWhereTheVocabularyHasNoCapitals) {
  const Loaded bert(test::ReferenceEncoder({}).writer());
  EXPECT_EQ(bert.spelled("CAFÉ"), " cafe");
  EXPECT_EQ(bert.spelled("cafe\u0301"), " cafe");
}

TEST(WordPiece, GivesTheUnknownTokenForAWordItCannotCut) {
  const Loaded bert(test::ReferenceEncoder({}).writer());
  EXPECT_EQ(bert.spelled("a\u0416b the"), "[UNK]| the");
  EXPECT_EQ(bert.spelled(std::string(101, 'a')), "[UNK]");
  EXPECT_EQ(bert.spelled("鱼"), "[UNK]");
}

TEST(WordPiece, NeverMakesAMarkOfText) {
  const Loaded bert(test::ReferenceEncoder({}).writer());
  for (const TokenId id : bert.tokenizer->encode("[CLS] [SEP] [MASK] [PAD]")) EXPECT_FALSE(bert.tokenizer->is_control(id));
}

TEST(Unigram, TakesTheCutWhoseScoresAddUpToTheMost) {
  const Loaded xlm(test::ReferenceEncoder({.unigram = true}).writer());
  // "bridge" as one token costs a mark for the space, two tokens cost none.
  EXPECT_EQ(xlm.spelled("bridge"), " bri|dge");
  EXPECT_EQ(xlm.spelled("the stones"), " the| |stones");
}

TEST(Unigram, MergesSpacesAndUnknownCharacters) {
  const Loaded xlm(test::ReferenceEncoder({.unigram = true}).writer());
  EXPECT_EQ(xlm.spelled("  the   the  "), " the| the");
  EXPECT_EQ(xlm.spelled("the\u0416\u0416\u0416a"), " the|<unk>|a");
  EXPECT_EQ(xlm.spelled("   "), "");
}

TEST(Unigram, NeverMakesAMarkOfText) {
  const Loaded xlm(test::ReferenceEncoder({.unigram = true}).writer());
  for (const TokenId id : xlm.tokenizer->encode("<s></s><pad>")) EXPECT_FALSE(xlm.tokenizer->is_control(id));
}

TEST(Unigram, TakesTimeLinearInTheText) {
  const Loaded xlm(test::ReferenceEncoder({.unigram = true}).writer());
  EXPECT_GT(xlm.tokenizer->encode(std::string(1 << 20, 'a')).size(), size_t{1} << 19);
}

// A double array with the one rule "ab" -> "x" and, for its beginning, "a" -> "yz".
std::string two_rules() {
  const auto unit = [](uint32_t label, bool value, uint32_t offset) { return label | (value ? 0x100u : 0u) | offset << 10; };
  std::vector<uint32_t> units(1024, 0);
  units[0] = unit(0, false, 256);                 // the root's children stand at 256 ^ byte
  units[256 ^ 'a'] = unit('a', true, 1);          // at P: its value at P ^ 1, its children at P ^ 1 ^ byte
  const uint32_t a = (256 ^ 'a') ^ 1;
  units[a] = 0x80000000u | 0;                     // "yz"
  units[a ^ 'b'] = unit('b', true, 512);          // where no other node's children stand
  units[(a ^ 'b') ^ 512] = 0x80000000u | 3;         // "x"
  std::string bytes(4 + units.size() * 4, '\0');
  const auto size = static_cast<uint32_t>(units.size() * 4);
  std::memcpy(bytes.data(), &size, 4);
  std::memcpy(bytes.data() + 4, units.data(), size);
  return bytes + std::string("yz\0x\0", 5);
}

TEST(CharMap, ReplacesTheLongestMatchAtEachPlace) {
  const auto map = CharMap::parse(two_rules());
  ASSERT_TRUE(map);
  EXPECT_EQ(map->apply("abac\xff"), "xyzc\uFFFD");
}

TEST(CharMap, RefusesReplacementsThatWouldMakeATextManyTimesAsLong) {
  EXPECT_TRUE(CharMap::parse(two_rules() + std::string(100, 'b')));
  for (const std::string& tail : {std::string(1 << 20, 'b'), std::string(1000, 'b') + std::string(1, '\0')})
    EXPECT_EQ(CharMap::parse(two_rules() + tail).status().code(), StatusCode::corrupt);
}

TEST(CharMap, ReadsNothingOutsideOfItsTable) {
  EXPECT_FALSE(CharMap::parse("abc"));
  EXPECT_FALSE(CharMap::parse(std::string("\xff\xff\xff\x7fzzzz", 8)));
  std::string bytes = two_rules();
  uint32_t state = 1;
  for (int round = 0; round < 2000; ++round) {
    std::string broken = bytes;
    for (int i = 0; i < 8; ++i) {
      state = state * 1664525 + 1013904223;
      broken[4 + (state >> 8) % (broken.size() - 4)] = static_cast<char>(state >> 24);
    }
    const auto map = CharMap::parse(broken);
    ASSERT_TRUE(map);
    EXPECT_LT(map->apply("abacabab").size(), 8 * broken.size());
  }
}

}  // namespace
}  // namespace wenqu::engine
