#include "retrieval/analysis/analyzer.h"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>

#include "base/utf8.h"

namespace wenqu::retrieval {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;

std::vector<std::string> texts(const std::vector<Term>& terms) {
  std::vector<std::string> out;
  for (const Term& term : terms)
    if (term.kind != Term::Kind::dictionary_word) out.push_back(term.text);
  return out;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> out;
  for (const Term& term : Analyzer().analyze(text))
    if (term.kind == Term::Kind::dictionary_word) out.push_back(term.text);
  return out;
}

std::vector<std::string> terms_of(std::string_view text) { return texts(Analyzer().analyze(text)); }
std::vector<std::string> asked(std::string_view text) { return texts(Analyzer().analyze_question(text)); }

std::string covered(std::string_view text, CharRange range) {
  const size_t begin = utf8_offset(text, range.begin);
  return std::string(text.substr(begin, utf8_offset(text, range.end) - begin));
}

TEST(Analyzer, ChineseGivesCharactersAndPairs) {
  EXPECT_THAT(terms_of("问渠那"), ElementsAre("问", "问渠", "渠", "渠那", "那"));
  EXPECT_THAT(terms_of("水，天"), ElementsAre("水", "天"));
}

TEST(Analyzer, ChineseGivesTheWordsOfADictionary) {
  EXPECT_THAT(words_of("研究生命起源"), ElementsAre("研究", "生命", "起源"));
  EXPECT_THAT(words_of("水，天"), IsEmpty());
  const std::vector<Term> terms = Analyzer().analyze("在周末");
  const auto word = std::find_if(terms.begin(), terms.end(), [](const Term& term) { return term.kind == Term::Kind::dictionary_word; });
  ASSERT_NE(word, terms.end());
  EXPECT_EQ(word->range, (CharRange{1, 3}));
  EXPECT_EQ(word->position, 1u);
}

TEST(Analyzer, ALongRunWithoutPunctuationIsCutIntoWordsToo) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "研究生命起源";
  EXPECT_GT(words_of(text).size(), 14'980u);
}

TEST(Analyzer, TraditionalCharactersAreFoldedToSimplifiedOnes) {
  EXPECT_EQ(terms_of("圖書館週末閉館"), terms_of("图书馆周末闭馆"));
  EXPECT_EQ(words_of("圖書館週末閉館"), words_of("图书馆周末闭馆"));
  EXPECT_EQ(terms_of("裡、裏、臺灣、髮型、頭發"), terms_of("里、里、台湾、发型、头发"));
  EXPECT_EQ(asked("圖書館在哪裡？"), asked("图书馆在哪里？"));
  EXPECT_EQ(asked("市長是誰"), asked("市长是谁"));
  const std::string text = "去圖書館";
  const std::vector<Term> terms = Analyzer().analyze(text);
  EXPECT_EQ(terms.back().text, "馆");
  EXPECT_EQ(covered(text, terms.back().range), "館");
}

TEST(Analyzer, CharactersBeyondTheBasicPlaneArePairedToo) {
  EXPECT_THAT(terms_of("𠮷野"), ElementsAre("𠮷", "𠮷野", "野"));
  EXPECT_THAT(terms_of("𰻝面"), ElementsAre("𰻝", "𰻝面", "面"));
}

TEST(Analyzer, KanaAndHangulArePaired) {
  EXPECT_THAT(terms_of("コーヒ"), ElementsAre("コ", "コー", "ー", "ーヒ", "ヒ"));
  EXPECT_THAT(terms_of("서울 역"), ElementsAre("서", "서울", "울", "역"));
}

TEST(Analyzer, CaseWidthAndCompatibilityAreFolded) {
  EXPECT_EQ(terms_of("ＡＢＣ１２３"), terms_of("abc123"));
  EXPECT_EQ(terms_of("ÉCOLE"), terms_of("e\u0301cole"));
  EXPECT_THAT(terms_of("ﬁle"), ElementsAre("file"));
  EXPECT_THAT(terms_of("Straße"), ElementsAre("strass"));
  EXPECT_EQ(terms_of("ｶﾞｽ"), terms_of("ガス"));
}

TEST(Analyzer, EnglishWordsAreStemmed) {
  EXPECT_THAT(terms_of("Running libraries connected"), ElementsAre("run", "librari", "connect"));
  EXPECT_EQ(terms_of("the dog's"), terms_of("the dogs"));
  EXPECT_EQ(terms_of("the dog’s"), terms_of("the dog's"));
}

TEST(Analyzer, NumbersKeepTheirDecimalsAndLoseTheirSeparators) {
  EXPECT_THAT(terms_of("3.14"), ElementsAre("3.14"));
  EXPECT_THAT(terms_of("1,234,567元"), ElementsAre("1234567", "元"));
  EXPECT_THAT(terms_of("1,2"), ElementsAre("1", "2"));
}

TEST(Analyzer, DatesMeetWhicheverWayTheyAreWritten) {
  EXPECT_THAT(terms_of("2024-03-05"), IsSupersetOf({"2024", "3", "5"}));
  EXPECT_THAT(terms_of("2024年3月5日"), IsSupersetOf({"2024", "年", "3", "月", "5", "日"}));
  EXPECT_THAT(terms_of("08:30"), IsSupersetOf({"8:30"}));
}

TEST(Analyzer, CodesStayWholeAndGiveTheirParts) {
  EXPECT_THAT(terms_of("B2-107"), IsSupersetOf({"b2-107", "b2", "107"}));
  EXPECT_THAT(terms_of("GB/T-2312"), IsSupersetOf({"gb/t-2312", "gb", "2312"}));
  EXPECT_THAT(terms_of("A380"), ElementsAre("a380", "380"));
  EXPECT_THAT(terms_of("C++和C#"), IsSupersetOf({"c++", "c#"}));
  EXPECT_THAT(terms_of("U.S.A."), ElementsAre("usa"));
  EXPECT_THAT(terms_of("well-known"), ElementsAre("wellknown", "well", "known"));
}

TEST(Analyzer, AddressesGiveTheirParts) {
  EXPECT_THAT(terms_of("desk@luoqiao.example"), IsSupersetOf({"desk@luoqiao.example", "desk", "luoqiao"}));
  EXPECT_THAT(terms_of("https://luoqiao.example/a-b?q=1"), IsSupersetOf({"https", "luoqiao", "a", "b", "q", "1"}));
}

TEST(Analyzer, EmojiAreWords) { EXPECT_THAT(terms_of("好🎉"), ElementsAre("好", "🎉")); }

TEST(Analyzer, PunctuationAloneGivesNothing) {
  EXPECT_THAT(terms_of(""), IsEmpty());
  EXPECT_THAT(terms_of("，。！?? -- ／"), IsEmpty());
}

TEST(Analyzer, RangesPointIntoTheOriginalText) {
  const std::string text = "Ａ１ ﬁre e\u0301te\u0301 ㎏ 问渠";
  std::vector<std::string> covers;
  for (const Term& term : Analyzer().analyze(text)) covers.push_back(covered(text, term.range));
  EXPECT_THAT(covers, ElementsAre("Ａ１", "ﬁre", "e\u0301te\u0301", "㎏", "问", "问渠", "渠"));
}

TEST(Analyzer, PositionsCountCharactersAndWords) {
  std::vector<uint32_t> positions;
  for (const Term& term : Analyzer().analyze("水 wind 山")) positions.push_back(term.position);
  EXPECT_THAT(positions, ElementsAre(0, 1, 2));
}

TEST(Analyzer, AnyTextGivesTermsInOrderInsideTheText) {
  std::mt19937 random(20260101);
  const std::u32string alphabet = U"ab9Ｚé\u0301的问ガﾞ한\u200d\ufe0f🎉.,-/@'’:+# \n\ufdfaﬁ𠮷\u3099ก";
  for (int round = 0; round < 2000; ++round) {
    std::u32string text;
    for (size_t n = random() % 40; n > 0; --n) text += alphabet[random() % alphabet.size()];
    const std::string utf8 = utf32_to_utf8(text);
    uint32_t position = 0;
    for (const Term& term : Analyzer().analyze(utf8)) {
      ASSERT_FALSE(term.text.empty());
      ASSERT_TRUE(utf8_is_valid(term.text));
      ASSERT_LT(term.range.begin, term.range.end) << utf8;
      ASSERT_LE(term.range.end, text.size()) << utf8;
      ASSERT_GE(term.position, position);
      position = term.position;
    }
  }
}

TEST(Analyzer, SurvivesHugeWordsMarksAndIllFormedText) {
  EXPECT_EQ(Analyzer().analyze(std::string(1 << 20, 'a')).size(), 1u);
  std::string marks = "e";
  for (int i = 0; i < 200'000; ++i) marks += i % 2 ? "\u0301" : "\u0316";
  EXPECT_FALSE(Analyzer().analyze(marks).empty());
  std::string chain;
  for (int i = 0; i < 200'000; ++i) chain += "a.b-";
  EXPECT_FALSE(Analyzer().analyze(chain).empty());
  EXPECT_THAT(terms_of("\xff\xfe水\xe6\xb0"), ElementsAre("水"));
}

TEST(Analyzer, WordsWithAndWithoutHyphensAreTheSame) {
  EXPECT_THAT(terms_of("Wi-Fi"), Contains(terms_of("wifi")[0]));
  EXPECT_THAT(terms_of("sign-up"), Contains(terms_of("signup")[0]));
  EXPECT_THAT(terms_of("Ph.D."), Contains(terms_of("PhD")[0]));
  EXPECT_THAT(terms_of("example.com"), Not(Contains("examplecom")));
}

TEST(Analyzer, LettersAreTheSameWithAndWithoutTheirMarks) {
  EXPECT_EQ(terms_of("Café"), terms_of("cafe"));
  EXPECT_EQ(terms_of("cafe\u0301"), terms_of("cafe"));
  EXPECT_EQ(terms_of("München Muñoz hôtel Łódź İstanbul"), terms_of("Munchen Munoz hotel Lodz Istanbul"));
  EXPECT_EQ(terms_of("Ёлка"), terms_of("Елка"));
  EXPECT_NE(terms_of("мой"), terms_of("мои")) << "й is no и";
  EXPECT_EQ(terms_of("كَتَبَ"), terms_of("كتب"));
  EXPECT_NE(terms_of("が"), terms_of("か"));
}

TEST(Analyzer, NumbersAreFoundHoweverTheirDigitsAreGrouped) {
  for (const char* number : {"138-0013-8000", "138 0013 8000", "138‐00138000", "+86 138-0013-8000", "+8613800138000", "１３８００１３８０００"})
    EXPECT_THAT(terms_of(number), Contains("13800138000")) << number;
  EXPECT_THAT(terms_of("(010) 6512-3456"), Contains("01065123456"));
  EXPECT_THAT(terms_of("6222 0212 3456 7890 123"), Contains("6222021234567890123"));
  EXPECT_EQ(terms_of("12 34"), (std::vector<std::string>{"12", "34"}));
  EXPECT_THAT(terms_of("1 2 3 4 5 6 7 8"), Not(Contains("12345678")));
}

TEST(Analyzer, AmountsAndVersionsAreFoundInShort) {
  EXPECT_THAT(terms_of("128.00元"), IsSupersetOf({"128.00", "128"}));
  EXPECT_THAT(terms_of("1,234.50"), IsSupersetOf({"1234.50", "1234.5", "1234"}));
  EXPECT_EQ(terms_of("3.14"), std::vector<std::string>{"3.14"});
  EXPECT_THAT(terms_of("v2.0.1"), IsSupersetOf({"v2.0.1", "2.0.1", "2.0", "2", "0", "1"}));
  EXPECT_THAT(terms_of("2.0.1"), IsSupersetOf({"2.0.1", "2.0"}));
  EXPECT_THAT(terms_of("v17.04"), IsSupersetOf(terms_of("17.04")));
}

TEST(AnalyzeQuestion, ChineseQuestionWordsGo) {
  EXPECT_THAT(asked("请问图书馆在哪里？"), ElementsAre("图", "图书", "书", "书馆", "馆"));
  EXPECT_THAT(asked("市长是谁"), ElementsAre("市", "市长", "长"));
  EXPECT_THAT(asked("门票多少钱"), ElementsAre("门", "门票", "票"));
  EXPECT_THAT(asked("图书馆周末几点闭馆"), Not(Contains("点闭")));
  EXPECT_THAT(asked("什么是量子"), ElementsAre("量", "量子", "子"));
  EXPECT_THAT(asked("他为什么辞职呢？"), Not(Contains("为什")));
}

TEST(AnalyzeQuestion, NoPairIsMadeAcrossARemovedWord) {
  EXPECT_THAT(asked("河有多少桥"), ElementsAre("河", "桥"));
}

TEST(AnalyzeQuestion, WordsThatHoldAQuestionWordStay) {
  EXPECT_THAT(asked("几何课本"), Contains("几何"));
  EXPECT_EQ(asked("哪吒是谁"), terms_of("哪吒"));
  EXPECT_THAT(asked("附近的酒吧"), Contains("酒吧"));
  EXPECT_THAT(asked("多伦多大学"), IsSupersetOf({"多伦", "伦多", "多大", "大学"}));
  EXPECT_THAT(asked("请假流程"), Contains("请假"));
}

TEST(AnalyzeQuestion, WordsOfTheDictionaryThatEndOrCrossAQuestionWordStay) {
  for (const char* word : {"国有", "现有", "特有", "任何人", "思想问题"}) EXPECT_EQ(asked(word), terms_of(word)) << word;
  for (const char* word : {"存在", "潜在"}) EXPECT_THAT(asked(word), Contains(word));
  EXPECT_EQ(asked("現有"), terms_of("現有"));
  EXPECT_EQ(asked("拼多多快递"), terms_of("拼多多快递"));
  EXPECT_THAT(asked("任何人都可以报名吗"), IsSupersetOf({"任何", "报名"}));
  EXPECT_THAT(asked("哪些企业是国有的"), IsSupersetOf({"企业", "国有"}));
}

TEST(AnalyzeQuestion, FunctionCharactersGoAloneButNotInsideWords) {
  const auto terms = asked("现在的天气");
  EXPECT_THAT(terms, Contains("现在"));
  EXPECT_THAT(terms, Not(Contains("的")));
  EXPECT_THAT(terms, Not(Contains("在")));
}

TEST(AnalyzeQuestion, EnglishQuestionWordsGo) {
  EXPECT_THAT(asked("How many bridges are there in the town?"), ElementsAre("bridg", "town"));
  EXPECT_THAT(asked("What's the ferry timetable?"), ElementsAre("ferri", "timet"));
}

TEST(AnalyzeQuestion, CapitalsKeepAName) {
  EXPECT_THAT(asked("WHO总部在哪里"), Contains("who"));
  EXPECT_THAT(asked("Which IT company is it?"), ElementsAre("it", "compani"));
  EXPECT_THAT(asked("WHO IS THE MAYOR"), ElementsAre("mayor"));
}

TEST(AnalyzeQuestion, AQuestionOfStopWordsAloneKeepsThem) {
  EXPECT_EQ(asked("是什么"), terms_of("是什么"));
  EXPECT_EQ(asked("who are you"), terms_of("who are you"));
}

TEST(AnalyzeQuestion, AMegabyteIsFine) {
  std::string question;
  while (question.size() < (1 << 20)) question += "多多少什么几";
  EXPECT_FALSE(Analyzer().analyze_question(question).empty());
}

}  // namespace
}  // namespace wenqu::retrieval
