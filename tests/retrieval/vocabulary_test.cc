#include "retrieval/vocabulary.h"

#include <random>

#include <gmock/gmock.h>

#include "base/utf8.h"
#include "retrieval/analysis/lexicon.h"
#include "retrieval/analysis/pinyin.h"
#include "retrieval/query/question_terms.h"

namespace wenqu::retrieval {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::vector<std::string> texts_of(const std::vector<UserWord>& words) {
  std::vector<std::string> texts;
  for (const UserWord& word : words) texts.push_back(word.text);
  return texts;
}

std::shared_ptr<const Lexicon> lexicon_of(Vocabulary vocabulary) {
  auto lexicon = Lexicon::create(std::move(vocabulary));
  EXPECT_TRUE(lexicon) << lexicon.status().to_string();
  return lexicon ? *lexicon : Lexicon::plain();
}

std::vector<std::string> terms_of(const std::vector<Term>& terms, Term::Kind kind) {
  std::vector<std::string> texts;
  for (const Term& term : terms)
    if (term.kind == kind) texts.push_back(term.text);
  return texts;
}

std::vector<std::string> words_in(const Vocabulary& vocabulary, std::string_view text) {
  return terms_of(Analyzer(lexicon_of(vocabulary)).analyze(text), Term::Kind::dictionary_word);
}

TEST(Vocabulary, ReadsWordsWithWeightsAndComments) {
  const auto words = parse_user_words("\xEF\xBB\xBF# names\r\n问渠\r\n\n  T恤\t0.5  \niPhone 15 Pro\n# end");
  ASSERT_TRUE(words) << words.status().to_string();
  EXPECT_THAT(texts_of(*words), ElementsAre("问渠", "T恤", "iPhone 15 Pro"));
  EXPECT_EQ((*words)[0].weight, 1);
  EXPECT_EQ((*words)[1].weight, 0.5);
  EXPECT_THAT(texts_of(*parse_user_words("")), IsEmpty());
}

TEST(Vocabulary, NamesTheLineOfABadWord) {
  const std::pair<const char*, const char*> bad[] = {
      {"好词\n坏\xFF\n", "line 2: this is not UTF-8"},
      {"好\n", "line 1: a single character"},
      {"。，！\n", "line 1: a word needs letters"},
      {"\n\n云计算\t-1\n", "line 3: a weight is"},
      {"云计算\t0\n", "a weight is"},
      {"云计算\t1.5\n", "a weight is"},
      {"云计算\tnan\n", "a weight is"},
      {"云计算\t很\n", "no weight"},
      {"云计算\t\n云计算\t1 n", "line 2: what stands behind the tab"},
      {"云计算 5 n\n", "put a tab"},
      {"云\x01计\n", "control character"},
  };
  for (const auto& [text, message] : bad) {
    const auto words = parse_user_words(text);
    EXPECT_EQ(words.status().code(), StatusCode::invalid_argument) << text;
    EXPECT_THAT(words.status().message(), HasSubstr(message)) << text;
  }
  EXPECT_EQ(parse_user_words("一二三四五六七八九十一二三四五六七八九十一").status().code(), StatusCode::limit_exceeded);
  std::string many;
  for (size_t i = 0; i <= kMaxUserWords; ++i) many += "ab\n";
  EXPECT_THAT(parse_user_words(many).status().message(), HasSubstr("line 200001: "));
  EXPECT_EQ(parse_user_words(std::string(kMaxVocabularyBytes + 1, '#')).status().code(), StatusCode::limit_exceeded);
  EXPECT_EQ(read_user_words("/absent/words").status().code(), StatusCode::not_found);
}

TEST(Vocabulary, ReadsSynonymsOfBothForms) {
  const auto rules = parse_synonyms("# food\n土豆, 马铃薯，potato\n电脑 => 计算机, personal computer\n");
  ASSERT_TRUE(rules) << rules.status().to_string();
  ASSERT_EQ(rules->size(), 2u);
  EXPECT_THAT((*rules)[0].from, ElementsAre("土豆", "马铃薯", "potato"));
  EXPECT_THAT((*rules)[0].to, IsEmpty());
  EXPECT_THAT((*rules)[1].from, ElementsAre("电脑"));
  EXPECT_THAT((*rules)[1].to, ElementsAre("计算机", "personal computer"));
}

TEST(Vocabulary, NamesTheLineOfABadRule) {
  for (const char* bad : {"a, b\na", "a, b\na,,b", "a, b\na =>", "a, b\n=> b", "a, b\na => b => c", "a, b\n,", "a, b\na, ！！"}) {
    const auto rules = parse_synonyms(bad);
    EXPECT_EQ(rules.status().code(), StatusCode::invalid_argument) << bad;
    EXPECT_THAT(rules.status().message(), HasSubstr("line 2: ")) << bad;
  }
  std::string wide = "w";
  for (size_t i = 0; i < kMaxSynonymsOfRule; ++i) wide += ",w" + std::to_string(i);
  EXPECT_EQ(parse_synonyms(wide).status().code(), StatusCode::limit_exceeded);
  EXPECT_EQ(parse_synonyms("a, " + std::string(kMaxSynonymChars + 1, 'b')).status().code(), StatusCode::limit_exceeded);
}

TEST(Vocabulary, WhatAHostGivesIsHeldToTheSame) {
  EXPECT_EQ(check_vocabulary({{{"问渠", 2}}, {}, false}).code(), StatusCode::invalid_argument);
  EXPECT_EQ(check_vocabulary({{{"问\n渠", 1}}, {}, false}).code(), StatusCode::invalid_argument);
  EXPECT_EQ(check_vocabulary({{}, {{{"a"}, {}}}, false}).code(), StatusCode::invalid_argument);
  EXPECT_EQ(check_vocabulary({{}, {{{}, {"a"}}}, false}).code(), StatusCode::invalid_argument);
  EXPECT_EQ(check_vocabulary({{}, {{{"a,b", "c"}, {}}}, false}).code(), StatusCode::invalid_argument);
  EXPECT_EQ(check_vocabulary({{}, {{{"#a", "c"}, {}}}, false}).code(), StatusCode::invalid_argument);
  EXPECT_TRUE(check_vocabulary({{{"问渠", 1}}, {{{"a", "b"}, {}}}, true}));
}

TEST(Vocabulary, ComesBackFromItsFileAsItWas) {
  const Vocabulary vocabulary{{{"问渠", 1}, {"T恤", 0.1}, {"iPhone 15", 1.0 / 3}}, {{{"土豆", "马铃薯"}, {}}, {{"a b"}, {"c", "d"}}}, true};
  const std::string text = format_vocabulary(vocabulary);
  const auto read = parse_vocabulary(text);
  ASSERT_TRUE(read) << read.status().to_string();
  EXPECT_EQ(*read, vocabulary);
  EXPECT_EQ(*parse_vocabulary(format_vocabulary(Vocabulary())), Vocabulary());
  // Whatever is cut off or changed is refused or another vocabulary, never a crash.
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string damaged = text.substr(0, random() % 3 ? text.size() : random() % text.size());
    for (int i = 0; i < 3 && !damaged.empty(); ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
    const auto other = parse_vocabulary(damaged);
    EXPECT_TRUE(!other || check_vocabulary(*other));
  }
}

TEST(Vocabulary, TheSameWordsInOtherOrderOrScriptGiveTheSameTerms) {
  const Vocabulary a{{{"問渠", 1}, {"T恤", 0.5}}, {}, false}, b{{{"t恤", 0.5}, {"问渠", 1}, {"问渠", 0.2}}, {{{"a", "b"}, {}}}, false};
  EXPECT_TRUE(same_terms(a, b));
  EXPECT_FALSE(same_terms(a, Vocabulary{a.words, {}, true}));
  EXPECT_FALSE(same_terms(a, Vocabulary{{{"问渠", 1}}, {}, false}));
}

TEST(UserWords, AreFoundWholeAndByTheWordsWithinThem) {
  EXPECT_THAT(words_in({}, "智能客服系统"), Not(Contains("智能客服系统")));
  const std::vector<std::string> words = words_in({{{"智能客服系統", 1}}, {}, false}, "用智能客服系统");
  EXPECT_THAT(words, Contains("智能客服系统"));
  EXPECT_THAT(words, Contains("智能"));
  EXPECT_THAT(words, Contains("系统"));
}

TEST(UserWords, OfLettersAndCharactersStandBesideTheirParts) {
  const Vocabulary vocabulary{{{"T恤", 1}, {"卡拉OK", 1}, {"iPhone 15", 1}, {"A股", 1}}, {}, false};
  EXPECT_THAT(words_in(vocabulary, "白Ｔ恤与卡拉ok"), Contains("t恤"));
  EXPECT_THAT(words_in(vocabulary, "白T恤与卡拉ok"), Contains("卡拉ok"));
  EXPECT_THAT(words_in(vocabulary, "an iPhone 15, new"), ElementsAre("iphone 15"));
  // Not amid other words.
  EXPECT_THAT(words_in(vocabulary, "iPhone 150"), IsEmpty());
  EXPECT_THAT(words_in(vocabulary, "Beta股"), Not(Contains("a股")));
  EXPECT_THAT(terms_of(Analyzer(lexicon_of(vocabulary)).analyze("iPhone 15"), Term::Kind::word), ElementsAre("iphon", "15"));
}

TEST(UserWords, OfLittleWeightGiveWayToCommonOnes) {
  EXPECT_THAT(words_in({{{"生命起", 1}}, {}, false}, "研究生命起源"), Contains("生命起"));
  EXPECT_THAT(words_in({{{"生命起", 0.01}}, {}, false}, "研究生命起源"), Not(Contains("生命起")));
}

TEST(UserWords, NoPairWithinAWordIsAskedForWhateverItHolds) {
  const Analyzer analyzer(lexicon_of({{{"智能客服系统", 1}}, {}, false}));
  for (const QuestionTerm& term : search_terms(analyzer.analyze_question("智能客服系统")))
    EXPECT_NE(term.term.kind, Term::Kind::bigram) << term.term.text;
}

TEST(UserWords, AnyTextGivesTermsInOrderInsideTheText) {
  const std::u32string alphabet = U"智能客服T恤ab 15，😀";
  const Analyzer analyzer(lexicon_of({{{"智能客服", 1}, {"客服T恤", 1}, {"T恤", 0.5}, {"ab 15", 1}, {"a1", 1}}, {}, true}));
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::u32string text;
    for (size_t i = random() % 30; i > 0; --i) text += alphabet[random() % alphabet.size()];
    uint32_t last = 0;
    for (const Term& term : analyzer.analyze(utf32_to_utf8(text))) {
      EXPECT_LT(term.range.begin, term.range.end);
      EXPECT_LE(term.range.end, text.size());
      EXPECT_FALSE(term.text.empty());
      if (term.kind == Term::Kind::unigram) {
        EXPECT_GE(term.range.begin, last);
        last = term.range.end;
      }
    }
  }
}

std::vector<std::string> others_in(const Synonyms& synonyms, std::string_view question) {
  std::vector<std::string> found;
  const std::vector<Term> terms = Analyzer().analyze(question);
  for (const Synonyms::Found& one : synonyms.find(terms))
    for (const std::string& other : *one.others) found.push_back(other);
  return found;
}

TEST(Synonyms, AreFoundInEitherScriptAndInAnyInflection) {
  const SynonymRule rules[] = {{{"土豆", "马铃薯", "potato"}, {}}, {{"heart attack"}, {"myocardial infarction", "心肌梗塞"}}};
  const Synonyms synonyms(rules);
  EXPECT_THAT(others_in(synonyms, "怎么种馬鈴薯"), ElementsAre("土豆", "potato"));
  EXPECT_THAT(others_in(synonyms, "Growing Potatoes"), ElementsAre("土豆", "马铃薯"));
  EXPECT_THAT(others_in(synonyms, "signs of heart attacks?"), ElementsAre("myocardial infarction", "心肌梗塞"));
  EXPECT_THAT(others_in(synonyms, "the heart may attack"), IsEmpty());
  EXPECT_THAT(others_in(synonyms, "心肌梗塞"), IsEmpty());   // one way only
  EXPECT_THAT(others_in(synonyms, ""), IsEmpty());
}

TEST(Synonyms, TheLongestPhraseCountsAndNoPartOfAWord) {
  const SynonymRule rules[] = {{{"电脑", "计算机"}, {}}, {{"笔记本电脑", "手提电脑"}, {}}, {{"银行", "bank"}, {}}};
  const Synonyms synonyms(rules);
  EXPECT_THAT(others_in(synonyms, "笔记本电脑和电脑"), ElementsAre("手提电脑", "计算机"));
  EXPECT_THAT(others_in(synonyms, "中国银行"), ElementsAre("bank"));
  EXPECT_THAT(others_in(synonyms, "流水行业"), IsEmpty());
  EXPECT_THAT(others_in(Synonyms({}), "电脑"), IsEmpty());
}

TEST(Synonyms, RulesThatShareAWordAddUp) {
  const SynonymRule rules[] = {{{"a1", "b1"}, {}}, {{"a1"}, {"c1", "b1"}}};
  EXPECT_THAT(others_in(Synonyms(rules), "a1"), ElementsAre("b1", "c1"));
}

std::vector<std::string> read(std::u32string_view word) {
  std::vector<std::string> ways;
  for (const Reading& reading : readings_of(word)) ways.push_back(reading.full + " " + reading.initials);
  return ways;
}

TEST(Pinyin, ReadsWordsInAllWaysOfTheirCharacters) {
  EXPECT_THAT(read(U"北京"), ElementsAre("beijing bj"));
  EXPECT_THAT(read(U"重庆"), Contains("chongqing cq"));
  EXPECT_THAT(read(U"银行"), Contains("yinhang yh"));
  EXPECT_THAT(read(U"音乐"), Contains("yinyue yy"));
  EXPECT_THAT(read(U"绿女"), ElementsAre("lunu ln"));
  EXPECT_LE(readings_of(U"重行长乐还传").size(), 4u);
  EXPECT_THAT(read(U"T恤"), IsEmpty());
  EXPECT_THAT(read(U"あき"), IsEmpty());
  EXPECT_THAT(read(U""), IsEmpty());
}

TEST(Pinyin, IsCutAtSyllables) {
  EXPECT_THAT(syllable_ends("beijingdaxue"), Contains(7));
  EXPECT_EQ(syllable_ends("beijingdaxue").back(), 12u);
  EXPECT_THAT(syllable_ends("xian"), ElementsAre(2, 4));   // xian, or xi an
  EXPECT_THAT(syllable_ends("bjdx"), IsEmpty());
  EXPECT_THAT(syllable_ends("hello"), IsEmpty());
  EXPECT_THAT(syllable_ends(""), IsEmpty());
  EXPECT_EQ(typed_pinyin("lvse"), "luse");
}

TEST(Pinyin, StandsInDocumentsOnlyAndOnlyWhereItIsAskedFor) {
  const Analyzer with(lexicon_of({{}, {}, true}));
  EXPECT_THAT(terms_of(with.analyze("北京的图书"), Term::Kind::pinyin), ElementsAre("beijing", "tushu"));
  EXPECT_THAT(terms_of(with.analyze_question("北京的图书"), Term::Kind::pinyin), IsEmpty());
  EXPECT_THAT(terms_of(Analyzer().analyze("北京的图书"), Term::Kind::pinyin), IsEmpty());
  const std::vector<std::string> title = terms_of(with.analyze_title("北京大学"), Term::Kind::pinyin);
  EXPECT_THAT(title, Contains("beijingdaxue"));
  EXPECT_THAT(title, Contains("bjdx"));
}

}  // namespace
}  // namespace wenqu::retrieval
