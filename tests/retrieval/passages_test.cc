#include "retrieval/documents/passages.h"

#include <random>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <unicode/uchar.h>

#include "base/utf8.h"

namespace wenqu::retrieval {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string slice(std::string_view text, CharRange range) {
  const size_t begin = utf8_offset(text, range.begin);
  return std::string(text.substr(begin, utf8_offset(text, range.end) - begin));
}

std::vector<std::string> sentences(std::string_view text) {
  std::vector<std::string> out;
  for (CharRange range : split_sentences(text)) out.push_back(slice(text, range));
  return out;
}

Document document_of(std::string text) {
  Document document;
  document.id = "d";
  document.text = std::move(text);
  return document;
}

std::string repeat(std::string_view text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

TEST(SplitSentences, ChineseMarksEndSentences) {
  EXPECT_THAT(sentences("春天来了。花开了吗？开了！他走；我留……后来呢"),
              ElementsAre("春天来了。", "花开了吗？", "开了！", "他走；", "我留……", "后来呢"));
}

TEST(SplitSentences, ClosingQuotesAndBracketsStayWithTheSentence) {
  EXPECT_THAT(sentences("他说：“走吧。”她点头（很快。）于是出发。"),
              ElementsAre("他说：“走吧。”", "她点头（很快。）", "于是出发。"));
  EXPECT_THAT(sentences("He said \"Go.\" She went."), ElementsAre("He said \"Go.\"", "She went."));
}

TEST(SplitSentences, AMarkBeforeACommaEndsNothing) {
  EXPECT_THAT(sentences("《去哪？》，他写的。"), ElementsAre("《去哪？》，他写的。"));
}

TEST(SplitSentences, AbbreviationsDecimalsAndAddressesDoNotCut) {
  EXPECT_THAT(sentences("Dr. Smith paid 3.50 at example.com. He left."),
              ElementsAre("Dr. Smith paid 3.50 at example.com.", "He left."));
  EXPECT_THAT(sentences("The U.S. Navy and J. Brown. See No. 5 vs. No. 6."),
              ElementsAre("The U.S. Navy and J. Brown.", "See No. 5 vs. No. 6."));
  EXPECT_THAT(sentences("Bring cups, plates etc. The rest is there."),
              ElementsAre("Bring cups, plates etc.", "The rest is there."));
  EXPECT_THAT(sentences("That was it. \"Stop!\" he said."), ElementsAre("That was it.", "\"Stop!\" he said."));
}

TEST(SplitSentences, LinesParagraphsAndItemsAreBoundaries) {
  EXPECT_THAT(sentences("标题\n\n第一段\r\n- 一项\n1. Second item"),
              ElementsAre("标题", "第一段", "- 一项", "1. Second item"));
  EXPECT_THAT(sentences("a line that was\nwrapped by hand"), ElementsAre("a line that was\nwrapped by hand"));
}

TEST(SplitSentences, NothingComesFromNothing) {
  EXPECT_THAT(sentences(""), IsEmpty());
  EXPECT_THAT(sentences(" \n\t　"), IsEmpty());
}

TEST(SplitSentences, OnlyWhiteSpaceIsLeftOut) {
  std::mt19937 random(7);
  const std::u32string alphabet = U"a春.!?。！？；…”)'\" \n\r　,，1T\u0301e";
  for (int round = 0; round < 3000; ++round) {
    std::u32string text;
    for (size_t n = random() % 60; n > 0; --n) text += alphabet[random() % alphabet.size()];
    std::vector<bool> inside(text.size(), false);
    uint32_t end = 0;
    for (CharRange range : split_sentences(utf32_to_utf8(text))) {
      ASSERT_LT(range.begin, range.end);
      ASSERT_GE(range.begin, end);
      end = range.end;
      ASSERT_LE(end, text.size());
      std::fill(inside.begin() + range.begin, inside.begin() + range.end, true);
    }
    for (size_t i = 0; i < text.size(); ++i)
      ASSERT_TRUE(inside[i] || u_isUWhiteSpace(static_cast<UChar32>(text[i]))) << utf32_to_utf8(text);
  }
}

TEST(SplitPassages, AShortDocumentIsOnePassage) {
  const auto passages = split_passages(document_of("  一句。\n\n两句。 "));
  ASSERT_EQ(passages.size(), 1u);
  EXPECT_EQ(passages[0].text, "一句。\n\n两句。");
  EXPECT_EQ(passages[0].range, (CharRange{2, 10}));
  EXPECT_EQ(passages[0].document_id, "d");
}

TEST(SplitPassages, AnEmptyDocumentHasNone) {
  EXPECT_THAT(split_passages(document_of("")), IsEmpty());
  EXPECT_THAT(split_passages(document_of(" \n ")), IsEmpty());
}

TEST(SplitPassages, PassagesEndAtSentencesAndOverlapByWholeOnes) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += fmt::format("第{}句话讲的是渡口边上的一棵老树。", 100 + i);
  const auto passages = split_passages(document_of(text));
  ASSERT_GT(passages.size(), 3u);
  for (size_t i = 0; i < passages.size(); ++i) {
    EXPECT_EQ(passages[i].ordinal, i);
    EXPECT_TRUE(passages[i].text.starts_with("第")) << passages[i].text;
    EXPECT_TRUE(passages[i].text.ends_with("。")) << passages[i].text;
    if (i == 0) continue;
    EXPECT_LT(passages[i].range.begin, passages[i - 1].range.end);
    EXPECT_LE(passages[i - 1].range.end - passages[i].range.begin, 80u);
    EXPECT_GT(passages[i].range.end, passages[i - 1].range.end);
  }
}

TEST(SplitPassages, AMegabyteWithoutPunctuationIsCut) {
  const auto passages = split_passages(document_of(repeat("水", 350'000)));
  EXPECT_EQ(passages.size(), 700u);
  for (const Passage& passage : passages) ASSERT_LE(utf8_length(passage.text), 500u);
}

TEST(SplitPassages, ALongSentenceIsCutAtAPauseAndNotBeforeAMark) {
  for (const Passage& passage : split_passages(document_of(repeat("春水绿如蓝，", 300))))
    EXPECT_TRUE(passage.text.ends_with("，"));
  for (const Passage& passage : split_passages(document_of(repeat("e\u0301\u0316", 1000))))
    EXPECT_TRUE(passage.text.starts_with("e"));
}

TEST(SplitPassages, AHeadingBeginsAPassage) {
  const std::string body = repeat("这里写着一些介绍渡口的文字。", 20);
  const auto passages = split_passages(document_of("渡口\n\n" + body + "\n\n船票\n\n" + body));
  ASSERT_EQ(passages.size(), 2u);
  EXPECT_TRUE(passages[1].text.starts_with("船票\n"));
}

TEST(SplitPassages, EveryTextEqualsItsRangeAndNothingIsLost) {
  std::mt19937 random(11);
  const std::u32string alphabet = U"abc春水东流去。！ .,，\n\u0301👍";
  for (int round = 0; round < 400; ++round) {
    std::u32string text;
    for (size_t n = random() % 900; n > 0; --n) text += alphabet[random() % alphabet.size()];
    const PassageOptions options{random() % 60, 1 + random() % 80, random() % 90};
    const Document document = document_of(utf32_to_utf8(text));
    std::vector<bool> inside(text.size(), false);
    uint32_t begin = 0, end = 0;
    for (const Passage& passage : split_passages(document, options)) {
      ASSERT_EQ(passage.text, slice(document.text, passage.range));
      ASSERT_LE(passage.range.end - passage.range.begin, options.max_chars);
      ASSERT_TRUE(passage.ordinal == 0 || passage.range.begin > begin);
      ASSERT_GT(passage.range.end, end);
      begin = passage.range.begin;
      end = passage.range.end;
      std::fill(inside.begin() + begin, inside.begin() + end, true);
    }
    for (size_t i = 0; i < text.size(); ++i)
      ASSERT_TRUE(inside[i] || u_isUWhiteSpace(static_cast<UChar32>(text[i])));
  }
}

TEST(SplitPassages, AHostsOwnCutsAreKept) {
  Document document = document_of(repeat("很长的一句话", 200) + "。短的。");
  const auto length = static_cast<uint32_t>(utf8_length(document.text));
  document.passages = {{0, length - 3}, {length - 3, length}};
  document.marks = {{length - 3, {Locator::Kind::page, 2}}};
  const auto passages = split_passages(document);
  ASSERT_EQ(passages.size(), 2u);
  EXPECT_EQ(passages[0].range, document.passages[0]);
  EXPECT_EQ(passages[1].text, "短的。");
  EXPECT_EQ(passages[1].ordinal, 1u);
  EXPECT_EQ(passages[1].locator, (Locator{Locator::Kind::page, 2}));
}

TEST(SplitPassages, TheHashFollowsTheTextAlone) {
  Document first = document_of("同样的话。"), second = first, third = document_of("别的话。");
  second.id = "other";
  second.title = "other";
  const auto hash = [](const Document& document) { return split_passages(document)[0].hash; };
  EXPECT_EQ(hash(first).size(), 32u);
  EXPECT_EQ(hash(first), hash(second));
  EXPECT_NE(hash(first), hash(third));
}

}  // namespace
}  // namespace wenqu::retrieval
