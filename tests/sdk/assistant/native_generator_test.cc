// Deep answers of a model that says what it is told: searches inside a thought.
#include "sdk/assistant/native_generator.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "retrieval/index.h"
#include "sdk/assistant/assistant.h"
#include "sdk/assistant/open.h"
#include "tests/support/chain_model.h"

namespace wenqu::assistant {
namespace {

class NativeGeneratorTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "wenqu_native_" + std::to_string(::getpid()) + "_" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
    add({{"ferry", "The ferry leaves the pier at noon."}, {"zinc", "Zinc lies under the pier."}});
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void add(const std::vector<std::pair<std::string, std::string>>& documents) {
    auto writer = *retrieval::Index::open(root_ + "/index", retrieval::Index::Mode::write);
    for (const auto& [id, text] : documents) {
      retrieval::Document document;
      document.id = id, document.text = text;
      ASSERT_TRUE(writer->add(document));
    }
    ASSERT_TRUE(writer->commit());
  }

  OpenedAssistant open(std::string_view says, uint32_t context = 2048) {
    test::chain_model(says, context).write(root_ + "/model.gguf");
    OpenOptions options;
    options.index_directory = root_ + "/index", options.model_path = root_ + "/model.gguf";
    options.model.threads = 1;
    options.follow_commits = [this](const Status& status) { stale_ = status; };
    auto opened = open_assistant(options);
    EXPECT_TRUE(opened) << opened.status().to_string();
    return *opened;
  }

  struct Answer {
    std::string thinking, text, reason;
    std::vector<std::string> queries, notices;
    Event::Type end = Event::Type::created;
    Status error;
  };
  static Answer ask(const Assistant& assistant, size_t max_thinking = 2048) {
    AskRequest request;
    request.question = "When does the ferry leave?", request.mode = Mode::deep, request.temperature = 0;
    request.max_rounds = 6, request.max_thinking_tokens = max_thinking, request.max_answer_tokens = 64;
    Answer answer;
    const Status status = assistant.ask(request, [&](const Event& event) {
      if (event.type == Event::Type::reasoning_delta) answer.thinking += event.delta;
      if (event.type == Event::Type::text_delta) answer.text += event.delta;
      if (event.type == Event::Type::search_completed) answer.queries.insert(answer.queries.end(), event.item->queries.begin(), event.item->queries.end());
      if (event.notice) answer.notices.emplace_back(event.notice->code);
      if (event.is_final()) answer.end = event.type, answer.reason = event.response->incomplete_reason, answer.error = event.response->error;
      return true;
    });
    EXPECT_TRUE(status) << status.to_string();
    return answer;
  }
  static size_t count(std::string_view text, std::string_view part) {
    size_t n = 0;
    for (size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) ++n;
    return n;
  }

  std::string root_;
  Status stale_;
};

// The turn ends right behind the words searched for, before the line does.
TEST_F(NativeGeneratorTest, AThoughtThatEndsWithASearchGoesOnWithWhatWasFound) {
  const Answer answer = ask(*open("Search: zin").assistant);
  EXPECT_EQ(answer.end, Event::Type::completed) << answer.error.to_string();
  EXPECT_TRUE(std::count(answer.queries.begin(), answer.queries.end(), "zin")) << answer.thinking;
  EXPECT_GE(count(answer.thinking, "Search: zin"), 2u) << "thought on behind what was found";
  EXPECT_EQ(answer.text, "Search: zin") << "which is an answer like any other";
}

TEST_F(NativeGeneratorTest, SoItDoesWhereItsBudgetEnds) {
  const Answer answer = ask(*open("Search: zin").assistant, 11);   // tokens: all bytes of the line
  EXPECT_EQ(answer.end, Event::Type::completed) << answer.error.to_string();
  EXPECT_TRUE(std::count(answer.queries.begin(), answer.queries.end(), "zin")) << answer.thinking;
  EXPECT_EQ(std::count(answer.notices.begin(), answer.notices.end(), "thinking_budget_hit"), 1);
  EXPECT_EQ(answer.text, "Search: zin");
}

// What a search inside a thought finds may be more than the context holds.
TEST_F(NativeGeneratorTest, WhatDoesNotFitIntoTheContextIsLeftOut) {
  std::string text = "Zin is found here. ";
  while (text.size() < 900) text += "The quick brown fox jumps over the lazy dog, and so it goes on. ";
  add({{"z1", text}, {"z2", text + "Again."}, {"z3", text + "And again."}});
  const Answer answer = ask(*open("Search: zin", 2600).assistant);
  EXPECT_EQ(answer.end, Event::Type::completed) << answer.error.to_string();
  EXPECT_EQ(answer.text, "Search: zin");
}

// However long it might think: the context is 1,024 tokens.
TEST_F(NativeGeneratorTest, AThoughtLeavesRoomForTheAnswer) {
  const Answer answer = ask(*open("Search: zin", 1024).assistant, 100'000);
  EXPECT_EQ(answer.end, Event::Type::completed) << answer.error.to_string() << answer.reason;
  EXPECT_EQ(answer.text, "Search: zin");
}

TEST_F(NativeGeneratorTest, AThoughtHasEndedBeforeItsClosingIsRead) {
  const OpenedAssistant opened = open("abc");
  AskRequest request;
  request.question = "When does the ferry leave?", request.mode = Mode::deep, request.temperature = 0, request.max_answer_tokens = 8;
  request.report_progress = true;
  bool ended = false;
  size_t read_after = 0;
  EXPECT_TRUE(opened.assistant->ask(request, [&](const Event& event) {
    if (event.type == Event::Type::reasoning_done) ended = true;
    if (ended && event.progress && event.progress->phase == Progress::Phase::prefill) ++read_after;
    return true;
  }));
  EXPECT_GT(read_after, 0u);
}

// What the model read for the first question it does not read again for the second, and not the passages found again.
TEST_F(NativeGeneratorTest, AConversationGoesOnBehindWhatWasRead) {
  std::string text = "The ferry leaves the pier at noon. ";
  while (text.size() < 1500) text += "It carries people, bicycles and the mail of the island. ";
  add({{"ferry", text}});
  const OpenedAssistant opened = open("abc", 8192);
  for (const Mode mode : {Mode::quick, Mode::deep}) {
    AskRequest request;
    request.question = "When does the ferry leave?", request.mode = mode, request.temperature = 0, request.max_answer_tokens = 8;
    Usage usage;
    std::string id, answer;
    const auto sink = [&](const Event& event) {
      if (event.type == Event::Type::text_delta) answer += event.delta;
      if (event.is_final()) usage = event.response->usage, id = event.response->id;
      return true;
    };
    ASSERT_TRUE(opened.assistant->ask(request, sink));
    const size_t first = usage.input_tokens;
    EXPECT_GT(first, 800u);
    request.question = "And who pays for it?", request.previous_response_id = id;
    answer.clear();
    ASSERT_TRUE(opened.assistant->ask(request, sink));
    EXPECT_EQ(answer, "abc");
    EXPECT_GT(usage.cached_tokens, first * 9 / 10) << usage.input_tokens;
    if (mode == Mode::quick) {
      EXPECT_LT(usage.input_tokens - usage.cached_tokens, first) << "the passage is not told again";
    }
  }
}

TEST_F(NativeGeneratorTest, QuestionsAreAskedOfTheNewestCommit) {
  const OpenedAssistant opened = open("abc");
  const uint64_t before = opened.index->stats().documents;
  add({{"tide", "The tide is low."}});
  EXPECT_EQ(opened.index->stats().documents, before);
  ask(*opened.assistant);
  EXPECT_EQ(opened.index->stats().documents, before + 1);
  EXPECT_TRUE(stale_);
}

}  // namespace
}  // namespace wenqu::assistant
