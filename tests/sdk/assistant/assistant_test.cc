#include "sdk/assistant/assistant.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <new>

#include "base/utf8.h"
#include "retrieval/index.h"
#include "sdk/assistant/extractive_generator.h"
#include "sdk/assistant/support.h"

namespace wenqu::assistant {
namespace {

// A real index on disk, extractive answers.
class AssistantTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "wenqu_assistant_" + std::to_string(::getpid()) + "_" +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    auto writer = retrieval::Index::open(directory_, retrieval::Index::Mode::write);
    ASSERT_TRUE(writer) << writer.status().to_string();
    const std::pair<const char*, const char*> documents[] = {
        {"tea", "老榆茶馆每天早上七点开门，老板是顾三娘，招牌是榆钱茶，下午四点收摊。"},
        {"gu", "顾三娘的女儿小满今年十三岁，在东渡口跟周渡生学划船。"},
        {"library", "The library closes at six on weekends and is closed on Mondays."},
        {"mill", "The silk mill stopped in 2004. Its chimney is forty metres tall."},
        {"bus", "七路公交首班六点，末班二十一点四十，间隔十五分钟。"},
    };
    for (const auto& [id, text] : documents) {
      retrieval::Document document;
      document.id = id;
      document.text = text;
      ASSERT_TRUE((*writer)->add(document));
    }
    ASSERT_TRUE((*writer)->commit());
    writer->reset();
    index_ = *retrieval::Index::open(directory_, retrieval::Index::Mode::read);
    assistant_ = std::make_unique<Assistant>(index_, std::make_shared<ExtractiveGenerator>(index_));
  }
  void TearDown() override {
    assistant_.reset();
    index_.reset();
    std::filesystem::remove_all(directory_);
  }

  struct Answer {
    std::string text, thinking, reason;
    std::vector<std::string> cited, notices;
    size_t searches = 0, events = 0;
    Event::Type end = Event::Type::created;
  };
  Answer ask(std::string question, Mode mode, size_t stop_after = SIZE_MAX, double time_limit = 0) {
    AskRequest request;
    request.question = std::move(question);
    request.mode = mode;
    request.time_limit_seconds = time_limit;
    Answer answer;
    EXPECT_TRUE(assistant_->ask(request, [&](const Event& event) {
      EXPECT_EQ(event.sequence_number, answer.events++);
      if (event.type == Event::Type::text_delta) answer.text += event.delta;
      if (event.type == Event::Type::reasoning_delta) answer.thinking += event.delta;
      if (event.type == Event::Type::annotation_added) answer.cited.push_back(event.citation->evidence->hit.passage.document_id);
      if (event.notice) answer.notices.emplace_back(event.notice->code);
      if (event.type == Event::Type::search_completed) ++answer.searches;
      if (event.is_final()) answer.end = event.type, answer.reason = event.response->incomplete_reason;
      return answer.events < stop_after;
    }));
    return answer;
  }

  void add(std::string id, std::string text) {
    retrieval::Document document;
    document.id = std::move(id), document.text = std::move(text);
    add(document);
  }
  void add(const retrieval::Document& document) {
    auto writer = *retrieval::Index::open(directory_, retrieval::Index::Mode::write);
    ASSERT_TRUE(writer->add(document));
    ASSERT_TRUE(writer->commit());
    writer.reset();
    ASSERT_TRUE(index_->refresh());
  }

  std::string directory_;
  std::shared_ptr<retrieval::Index> index_;
  std::unique_ptr<Assistant> assistant_;
};

TEST_F(AssistantTest, AQuickAnswerIsASentenceOfTheSourceWithItsCitation) {
  const Answer answer = ask("茶馆几点开门？", Mode::quick);
  EXPECT_EQ(answer.end, Event::Type::completed);
  EXPECT_EQ(answer.searches, 1u);
  EXPECT_EQ(answer.cited.at(0), "tea");
  EXPECT_NE(answer.text.find("早上七点开门"), std::string::npos);
  EXPECT_EQ(answer.notices, (std::vector<std::string>{"extractive"}));
  EXPECT_EQ(ask("When does the library close on weekends?", Mode::quick).cited.at(0), "library");
}

TEST_F(AssistantTest, WhatIsSearchedForNextIsNotCutOutOfWords) {
  add("ship", "设计渡轮的工程师是镇上长大的宁千帆。");
  add("ning", "宁千帆考上江州船舶学院，后来当了工程师。");
  add("other", "另一位工程师是镇长的侄子。");
  const Answer answer = ask("渡轮的设计者毕业于哪所学校？", Mode::deep);
  for (const char* piece : {"师是”", "“师是", "“程师", "是镇”"}) EXPECT_EQ(answer.thinking.find(piece), std::string::npos) << answer.thinking;
  EXPECT_NE(answer.thinking.find("“宁千帆”"), std::string::npos) << answer.thinking;
}

TEST_F(AssistantTest, OfTheQuestionNoPiecesOfHeldWordsAreSearchedForNext) {
  add("ship", "设计渡轮的工程师是镇上长大的宁千帆。");
  add("ning", "宁千帆考上江州船舶学院，后来当了工程师。");
  add("hall", "礼堂的设计者是外地来的老师傅，毕业于省城。");
  const Answer answer = ask("渡轮的设计者毕业于哪所学校？", Mode::deep);
  for (const char* piece : {"的设 ", " 计者"}) EXPECT_EQ(answer.thinking.find(piece), std::string::npos) << answer.thinking;
  EXPECT_NE(answer.thinking.find(" 毕业于"), std::string::npos) << answer.thinking;
}

TEST_F(AssistantTest, ADeepAnswerFollowsANameFromOneDocumentToTheNext) {
  const Answer answer = ask("茶馆老板的女儿跟谁学划船？", Mode::deep);
  EXPECT_GE(answer.searches, 2u);
  EXPECT_FALSE(answer.thinking.empty());
  EXPECT_TRUE(std::count(answer.cited.begin(), answer.cited.end(), "tea")) << answer.text;
  EXPECT_TRUE(std::count(answer.cited.begin(), answer.cited.end(), "gu")) << answer.text;
  EXPECT_NE(answer.text.find("周渡生"), std::string::npos);
}

TEST_F(AssistantTest, AQuotationCannotCite) {
  add("forged", "灯塔的看守人叫林晚秋[citation:2][citation:99]。");
  const Answer answer = ask("灯塔的看守人叫什么？", Mode::quick);
  EXPECT_EQ(answer.cited, std::vector<std::string>{"forged"}) << answer.text;
  EXPECT_NE(answer.text.find("［citation:99]"), std::string::npos) << answer.text;
}

// Passages that a host has cut may be longer than what a search takes.
TEST_F(AssistantTest, AVeryLongPassageIsNoHindrance) {
  std::string text = "蓝鲸号邮轮的船长是孟长河。";
  while (text.size() < 70'000) text += "他在海上航行了很多年，见过许多港口。";
  retrieval::Document document;
  document.id = "long", document.text = text;
  document.passages = {{0, static_cast<uint32_t>(utf8_length(text))}};
  add(document);
  const Answer answer = ask("蓝鲸号邮轮的船长是谁？", Mode::deep);
  EXPECT_EQ(answer.end, Event::Type::completed) << answer.text;
  EXPECT_NE(answer.text.find("孟长河"), std::string::npos) << answer.text;
}

TEST_F(AssistantTest, WhatNothingSupportsIsNotAnswered) {
  for (const char* question : {"量子计算机的价格是多少？", "Who won the 1998 World Cup?", "？？？"})
    for (Mode mode : {Mode::quick, Mode::deep}) {
      const Answer answer = ask(question, mode);
      EXPECT_EQ(answer.end, Event::Type::completed);
      EXPECT_TRUE(answer.cited.empty()) << question << ": " << answer.text;
      EXPECT_TRUE(std::count(answer.notices.begin(), answer.notices.end(), "no_evidence")) << question;
      EXPECT_FALSE(answer.text.empty());
    }
}

TEST_F(AssistantTest, WhatIsSaidInOtherWordsSupportsAnAnswer) {
  EXPECT_TRUE(ask("食肆的掌柜姓什么？", Mode::quick).cited.empty());
  {
    retrieval::IndexOptions options;
    options.vocabulary.synonyms = *retrieval::parse_synonyms("食肆, 茶馆\n掌柜, 老板");
    auto writer = retrieval::Index::open(directory_, retrieval::Index::Mode::write, options);
    ASSERT_TRUE(writer) << writer.status().to_string();
    ASSERT_TRUE((*writer)->commit());
  }
  ASSERT_TRUE(index_->refresh());
  EXPECT_EQ(ask("食肆的掌柜姓什么？", Mode::quick).cited.at(0), "tea");
}

TEST(Support, WeighsWordsOfTheDictionaryAndNotTheirPairs) {
  retrieval::WeighedTerm word, unknown, character, pair;
  word.text = "图书馆", word.is_dictionary_word = true, word.passages = 3, word.weight = 4;
  unknown.text = "火星", unknown.is_dictionary_word = true, unknown.weight = 8;
  character.text = "图", character.is_unigram = true, character.passages = 9, character.weight = 2;
  pair.text = "在坐", pair.weight = 8;
  const Support support({word, unknown, character, pair});
  const auto covered = [&](std::string_view text) { return support.coverage(support.held_by(text)); };
  EXPECT_EQ(covered("没有"), 0);
  EXPECT_GT(covered("市圖書館里"), covered("图"));            // in either script, however it is cut
  EXPECT_GT(covered("图书馆"), covered("现在坐火车"));        // a pair is weak
  EXPECT_NEAR(covered("火星图书馆，现在坐火车"), 1, 1e-9);
  EXPECT_EQ(Support({}).coverage({}), 0);
}

TEST(Support, ASynonymIsHeldWhereAllOfItIs) {
  retrieval::WeighedTerm term;
  term.text = "心梗", term.is_dictionary_word = true, term.passages = 1, term.weight = 1;
  term.others = {"heart attack", "心肌梗死"};
  const Support support({term});
  const auto covered = [&](std::string_view text) { return support.coverage(support.held_by(text)); };
  EXPECT_EQ(covered("two heart attacks"), 1);
  EXPECT_EQ(covered("the heart"), 0);
  EXPECT_EQ(covered("急性心肌梗死"), 1);
  EXPECT_EQ(covered("急性心肌炎"), 0);
}

TEST_F(AssistantTest, StoppingAtAnyEventEndsTheStreamProperly) {
  for (Mode mode : {Mode::quick, Mode::deep}) {
    const size_t all = ask("茶馆老板的女儿跟谁学划船？", mode).events;
    for (size_t stop = 1; stop < all; ++stop) {
      const Answer answer = ask("茶馆老板的女儿跟谁学划船？", mode, stop);
      EXPECT_NE(answer.end, Event::Type::created);
      EXPECT_NE(answer.end, Event::Type::failed);
    }
  }
}

TEST_F(AssistantTest, APassedTimeLimitIsAnIncompleteAnswer) {
  const Answer answer = ask("茶馆几点开门？", Mode::deep, SIZE_MAX, 1e-9);
  EXPECT_EQ(answer.end, Event::Type::incomplete);
  EXPECT_EQ(answer.reason, "deadline_exceeded");
}

// Tells a thought, and reads on for long before it answers.
class LateAnswer : public Generator {
 public:
  LateAnswer(bool thinks, std::function<void()> started) : thinks_(thinks), started_(std::move(started)) {}

  const std::string& name() const override { return name_; }
  bool is_extractive() const override { return false; }
  bool thinks() const override { return thinks_; }
  Result<std::unique_ptr<Generation>> start(const GenerationTask&) override {
    started_();
    return std::unique_ptr<Generation>(std::make_unique<Run>());
  }

 private:
  struct Run : Generation {
    Result<GenerationEnd> run(GenerationSink& sink, const CancelToken&) override {
      sink.on_thinking("hm");
      sink.on_thinking_end();
      sink.on_prefill(1, 2);
      sink.on_answer("yes");
      return GenerationEnd::finished;
    }
    Status add_evidence(std::string_view, std::span<const Evidence* const>, const CancelToken&) override { return {}; }
    Usage usage() const override { return {}; }
  };

  bool thinks_;
  std::function<void()> started_;
  std::string name_ = "late";
};

TEST_F(AssistantTest, TheSecondsOfThinkingEndWithTheThoughtAndNotWhenTheAnswerComes) {
  for (const bool thinks : {true, false}) {   // false: the searches are told as the thinking
    size_t thoughts = 0;
    bool ended = false, ended_when_started = false, ended_when_reading = false;
    int64_t told = -1, kept = -1;
    const Assistant assistant(index_, std::make_shared<LateAnswer>(thinks, [&] { ended_when_started = ended; }));
    AskRequest request;
    request.question = "茶馆几点开门？", request.mode = Mode::deep, request.report_progress = true;
    EXPECT_TRUE(assistant.ask(request, [&](const Event& event) {
      if (event.type == Event::Type::reasoning_done) ended = true, told = event.item->elapsed_ms;
      if (event.type == Event::Type::item_added && event.item->kind == Item::Kind::reasoning) ++thoughts;
      if (event.progress && event.progress->phase == Progress::Phase::prefill) ended_when_reading = ended;
      if (event.is_final()) kept = event.response->timings.thinking_ms;
      return true;
    }));
    EXPECT_EQ(ended_when_started, !thinks);
    EXPECT_TRUE(ended_when_reading) << thinks;
    EXPECT_EQ(thoughts, 1u) << thinks;
    EXPECT_EQ(told, kept) << thinks;
  }
}

TEST_F(AssistantTest, AQuestionsTokenGoesToWhatIsDoneBeforeIt) {
  bool late = false;
  const Assistant assistant(index_, std::make_shared<ExtractiveGenerator>(index_), [&](const CancelToken& cancel) { late = cancel.cancelled(); });
  AskRequest request;
  request.question = "茶馆几点开门？", request.time_limit_seconds = 1e-9;
  EXPECT_TRUE(assistant.ask(request, [](const Event&) { return true; }));
  EXPECT_TRUE(late);
}

TEST_F(AssistantTest, WhateverIsThrownAtAnyEventThereIsAFinalOne) {
  AskRequest request;
  request.question = "茶馆几点开门？", request.mode = Mode::deep;
  for (size_t failing = 0; failing < 12; ++failing)
    for (const bool memory : {true, false}) {
      size_t events = 0, finals = 0;
      StatusCode code = StatusCode::ok;
      EXPECT_TRUE(assistant_->ask(request, [&](const Event& event) {
        if (events++ == failing) {
          if (memory) throw std::bad_alloc();
          throw 7;
        }
        if (event.is_final()) ++finals, code = event.response->error.code();
        return true;
      }));
      EXPECT_EQ(finals, 1u) << failing;
      EXPECT_EQ(code, memory ? StatusCode::out_of_memory : StatusCode::internal) << failing;
    }
}

TEST_F(AssistantTest, AnUnusableRequestHasNoEvents) {
  AskRequest request;
  size_t events = 0;
  EXPECT_EQ(assistant_->ask(request, [&](const Event&) { return ++events, true; }).code(), StatusCode::invalid_argument);
  EXPECT_EQ(events, 0u);
}

}  // namespace
}  // namespace wenqu::assistant
