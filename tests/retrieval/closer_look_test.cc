// The closer look at passages, held against the plainest way to say the same.
#include "retrieval/rank/closer_look.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>
#include <set>

#include "retrieval/analysis/fold.h"
#include "retrieval/analysis/term_scanner.h"

namespace wenqu::retrieval {
namespace {

double of(const Signals& signals, Signal signal) { return signals[static_cast<size_t>(signal)]; }

std::vector<QuestionTerm> terms_asked(const std::string& question) {
  return search_terms(Analyzer().analyze_question(question));
}

std::vector<double> ones(size_t count) { return std::vector<double>(count, 1.0); }

std::vector<Signals> look(const std::string& question, const std::vector<PassageText>& passages) {
  const std::vector<QuestionTerm> terms = terms_asked(question);
  return CloserLook(question, terms, ones(terms.size())).look_at(passages);
}

std::u32string folded(std::string_view text) {
  std::u32string characters;
  for (const FoldedChar& c : fold(text)) characters += c.code_point;
  return characters;
}

// The words of the text from `begin` on, `size` of them at most.
std::set<std::string> words_within(const std::string& text, size_t begin = 0, size_t size = SIZE_MAX) {
  const std::vector<Term> units = scan_units(fold(text));
  std::set<std::string> words;
  for (size_t i = begin; i < units.size() && i - begin < size; ++i) words.insert(units[i].text);
  return words;
}

class PlainLook {
 public:
  PlainLook(const std::string& question, std::vector<double> idf) : terms_(terms_asked(question)), idf_(std::move(idf)) {
    for (const double weight : idf_) all_ += weight;
  }

  double share(std::set<std::string> words, const std::set<std::string>& title) const {
    words.insert(title.begin(), title.end());
    double sum = 0;
    for (size_t i = 0; i < terms_.size(); ++i)
      if (words.contains(terms_[i].term.text)) sum += idf_[i];
    return sum / all_;
  }
  double window(const PassageText& passage, size_t size) const {
    double best = share({}, words_within(passage.title));
    for (size_t begin = 0; begin < scan_units(fold(passage.text)).size(); ++begin)
      best = std::max(best, share(words_within(passage.text, begin, size), words_within(passage.title)));
    return best;
  }
  // Tries each set of the question's words: whether the text has them in their order.
  double order(const PassageText& passage) const {
    const std::vector<Term> units = scan_units(fold(passage.text));
    const std::set<std::string> text = words_within(passage.text), title = words_within(passage.title);
    double best = 0;
    for (uint32_t chosen = 0; chosen < (1u << terms_.size()); ++chosen) {
      double sum = 0;
      size_t at = 0;
      bool found = true;
      for (size_t i = 0; i < terms_.size() && found; ++i) {
        if ((chosen >> i & 1) == 0) continue;
        sum += idf_[i];
        if (!text.contains(terms_[i].term.text) && title.contains(terms_[i].term.text)) continue;
        while (at < units.size() && units[at].text != terms_[i].term.text) ++at;
        found = at++ < units.size();
      }
      if (found) best = std::max(best, sum);
    }
    return best / all_;
  }

 private:
  std::vector<QuestionTerm> terms_;
  std::vector<double> idf_;
  double all_ = 0;
};

TEST(CloserLook, FindsSharesAsThePlainestWayDoes) {
  std::mt19937 random(7);
  const auto words = [&random](size_t most) {
    std::string text;
    for (size_t count = random() % most; count > 0; --count) text += static_cast<char>('k' + random() % 12) + std::string("x ");
    return text;
  };
  for (int round = 0; round < 200; ++round) {
    const std::string question = "kx " + words(9);
    std::vector<double> idf;
    for (size_t i = terms_asked(question).size(); i > 0; --i) idf.push_back(0.5 + random() % 8);
    const std::vector<PassageText> passages = {{words(3), words(80)}, {words(2), words(30)}, {"", words(8)}};
    const auto found = CloserLook(question, terms_asked(question), idf).look_at(passages);
    const PlainLook plain(question, idf);
    for (size_t i = 0; i < passages.size(); ++i) {
      EXPECT_NEAR(of(found[i], Signal::word_held), plain.share(words_within(passages[i].text), words_within(passages[i].title)), 1e-9);
      EXPECT_NEAR(of(found[i], Signal::narrow_window), plain.window(passages[i], 15), 1e-9);
      EXPECT_NEAR(of(found[i], Signal::wide_window), plain.window(passages[i], 45), 1e-9);
      EXPECT_NEAR(of(found[i], Signal::order), plain.order(passages[i]), 1e-9) << question << "| " << passages[i].text;
    }
  }
}

TEST(CloserLook, WhatOnlyOnePassageHasCountsForMoreThanWhatAllHave) {
  const auto found = look("heron lighthouse", {{"", "the heron"}, {"", "a heron"}, {"", "the lighthouse"}});
  EXPECT_EQ(of(found[0], Signal::word_held), of(found[2], Signal::word_held));
  EXPECT_LT(of(found[0], Signal::word_alone), of(found[2], Signal::word_alone));
}

TEST(CloserLook, WhatTheTitleSaysNeedNotBeSaidAgain) {
  const auto found = look("lighthouse opening hours", {{"The lighthouse", "Opening hours"}, {"", "Opening hours of the lighthouse"}});
  EXPECT_EQ(of(found[0], Signal::narrow_window), 1);
  EXPECT_EQ(of(found[0], Signal::order), 1);
  EXPECT_LT(of(found[1], Signal::order), 1);
}

TEST(CloserLook, ChineseIsSeenByCharactersPairsAndWords) {
  const auto found = look("图书馆开放吗", {{"", "圖書館週末開放"}, {"", "开会的图和书"}});
  EXPECT_GT(of(found[0], Signal::dictionary_word_held), 0);
  EXPECT_EQ(of(found[0], Signal::unigram_held), 1);
  EXPECT_EQ(of(found[1], Signal::dictionary_word_held), 0);
  EXPECT_GT(of(found[0], Signal::neighbours), of(found[1], Signal::neighbours));
}

TEST(CloserLook, PassagesOfOneTitleAreCounted) {
  const auto found = look("heron", {{"Birds", "heron"}, {"Birds", "a heron"}, {"Boats", "heron"}, {"", "heron"}, {"", "heron"}});
  EXPECT_EQ(of(found[0], Signal::same_title), 0.25);
  EXPECT_EQ(of(found[2], Signal::same_title), 0);
  EXPECT_EQ(of(found[3], Signal::same_title), 0);  // none is no title
}

TEST(CloserLook, TheAnswerAskedForIsLookedFor) {
  const auto when = look("灯塔是哪一年建成的", {{"", "灯塔于1890年建成"}, {"", "灯塔的建成"}, {"", "灯塔在山上。"}});
  EXPECT_EQ(of(when[0], Signal::time), 1);
  EXPECT_EQ(of(when[1], Signal::time), 0);
  EXPECT_GT(of(when[0], Signal::near_answer), 0);
  const auto many = look("灯塔有几层", {{"", "灯塔有十二层"}, {"", "灯塔在12月"}, {"", "灯塔有层"}});
  EXPECT_EQ(of(many[0], Signal::number), 1);
  EXPECT_EQ(of(many[1], Signal::number), 0.5);
  EXPECT_EQ(of(many[2], Signal::number), 0);
}

TEST(CloserLook, AnyTextMayBeLookedAt) {
  std::string longest;
  for (int i = 0; i < 20'000; ++i) longest += "水1 ";
  for (const std::string& question : {std::string(), std::string("???"), std::string("\xff\xfe"), longest, std::string("几"), std::string("多少")})
    for (const Signals& signals : look(question, {{"", ""}, {"\xff", "\xff\xff"}, {longest, longest}, {"。", "。。。1年"}, {"", "12,."}}))
      for (const double signal : signals) EXPECT_TRUE(std::isfinite(signal));
  EXPECT_TRUE(look("heron", {}).empty());
}

TEST(AnswerKind, QuestionsAskForTimesAndNumbers) {
  const auto kinds = [](std::string_view question) {
    std::string letters;
    for (const ExpectedAnswer& expected : expected_answers(folded(question))) letters += expected.kind == AnswerKind::time ? 't' : 'n';
    return letters;
  };
  EXPECT_EQ(kinds("何時開放"), "t");
  EXPECT_EQ(kinds("有多少人"), "n");
  EXPECT_EQ(kinds("塔有几层"), "n");
  EXPECT_EQ(kinds("几乎没有人"), "");
  EXPECT_EQ(kinds("十几个人是谁"), "");
  EXPECT_EQ(kinds("是谁写的"), "");
}

TEST(AnswerKind, WhatTheQuestionSaysItselfIsNoAnswer) {
  const std::u32string question = folded("1890年的灯塔有多少人");
  const auto expected = expected_answers(question);
  ASSERT_EQ(expected.size(), 1u);
  EXPECT_TRUE(find_answers(expected[0], question, folded("1890年")).empty());
  const auto places = find_answers(expected[0], question, folded("1890年有三百余人"));
  ASSERT_EQ(places.size(), 1u);
  EXPECT_EQ(places[0].at, 6u);
  EXPECT_TRUE(places[0].certain);
}

}  // namespace
}  // namespace wenqu::retrieval
