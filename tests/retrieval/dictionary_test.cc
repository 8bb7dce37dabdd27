#include "retrieval/analysis/dictionary.h"

#include <algorithm>
#include <functional>
#include <random>

#include <gmock/gmock.h>

#include "base/utf8.h"

namespace wenqu::retrieval {
namespace {

using testing::ElementsAre;

std::vector<std::string> cut(const Dictionary& dictionary, std::string_view text) {
  const std::u32string run = utf8_to_utf32(text);
  std::vector<uint32_t> ends;
  dictionary.cut(run, ends);
  std::vector<std::string> words;
  size_t begin = 0;
  for (const uint32_t end : ends) {
    words.push_back(utf32_to_utf8(std::u32string_view(run).substr(begin, end - begin)));
    begin = end;
  }
  return words;
}

TEST(Dictionary, TakesTheLikeliestWordsTogether) {
  const Dictionary dictionary;
  ASSERT_TRUE(dictionary.has_words());
  EXPECT_THAT(cut(dictionary, "研究生命起源"), ElementsAre("研究", "生命", "起源"));
  EXPECT_THAT(cut(dictionary, "机器学习"), ElementsAre("机器", "学习"));
  EXPECT_THAT(cut(dictionary, ""), ElementsAre());
}

TEST(Dictionary, LeavesWhatIsNoWordInCharacters) {
  EXPECT_THAT(cut(Dictionary(), "𰻝龘𠮷"), ElementsAre("𰻝", "龘", "𠮷"));
}

TEST(Dictionary, TakesTheUsersWordsFirst) {
  const Dictionary::UserWord words[] = {{U"生命起"}, {U"问渠"}, {U""}, {std::u32string(100, U'长')}};
  const Dictionary dictionary(words);
  EXPECT_THAT(cut(dictionary, "研究生命起源"), ElementsAre("研究", "生命起", "源"));
  EXPECT_THAT(cut(dictionary, "问渠那"), ElementsAre("问渠", "那"));
}

TEST(Dictionary, CutsWholeRunsWhateverTheyHold) {
  const Dictionary dictionary;
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::u32string run;
    for (size_t i = random() % 60 + 1; i > 0; --i) run += random() % 4 ? 0x4E00 + random() % 200 : random() % 0x110000;
    std::vector<uint32_t> ends;
    dictionary.cut(run, ends);
    ASSERT_FALSE(ends.empty());
    EXPECT_EQ(ends.back(), run.size());
    EXPECT_TRUE(std::is_sorted(ends.begin(), ends.end(), std::less_equal<>()));
  }
}

}  // namespace
}  // namespace wenqu::retrieval
