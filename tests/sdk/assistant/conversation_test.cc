#include "sdk/assistant/conversation.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "retrieval/index.h"
#include "sdk/assistant/asked_question.h"
#include "sdk/assistant/assistant.h"
#include "sdk/assistant/extractive_generator.h"

namespace wenqu::assistant {
namespace {

Turn turn(std::string question, size_t passages = 0, int first_number = 1) {
  Turn turn;
  turn.question = std::move(question);
  turn.answer = "an answer";
  for (size_t i = 0; i < passages; ++i) {
    Evidence& evidence = turn.evidence.emplace_back();
    evidence.number = first_number + static_cast<int>(i);
    evidence.hit.passage.text = std::string(1000, 'x');
  }
  return turn;
}

TEST(ConversationMemory, GivesTheTurnsOfAConversationInTheirOrder) {
  ConversationMemory memory(1 << 20);
  memory.keep("a", {}, turn("first"), {});
  memory.keep("b", *memory.find("a", {}), turn("second"), {});
  memory.keep("c", *memory.find("a", {}), turn("instead"), {});   // two may go on from one
  const auto b = memory.find("b", {}), c = memory.find("c", {});
  ASSERT_TRUE(b && c);
  ASSERT_EQ(b->size(), 2u);
  EXPECT_EQ((*b)[0]->question, "first");
  EXPECT_EQ((*b)[1]->question, "second");
  EXPECT_EQ((*c)[1]->question, "instead");
  EXPECT_EQ((*b)[0], (*c)[0]);
  EXPECT_EQ(memory.find("d", {}).status().code(), StatusCode::not_found);
}

TEST(ConversationMemory, IsOnlyForTheOneWhoAsked) {
  ConversationMemory memory(1 << 20);
  memory.keep("a", {}, turn("x"), std::vector<std::string>{"bob", "staff"});
  EXPECT_TRUE(memory.find("a", std::vector<std::string>{"staff", "bob", "bob"}));
  for (const ConversationMemory::Principals& other :
       {ConversationMemory::Principals(), ConversationMemory::Principals(std::vector<std::string>{}), ConversationMemory::Principals(std::vector<std::string>{"bob"}),
        ConversationMemory::Principals(std::vector<std::string>{"bob", "staff", "admin"})})
    EXPECT_EQ(memory.find("a", other).status().code(), StatusCode::not_found);
}

TEST(ConversationMemory, ForgetsTheLongestUnusedAndStaysWithinItsBudget) {
  constexpr uint64_t kBudget = 100'000;
  ConversationMemory memory(kBudget);
  memory.keep("kept", {}, turn("kept", 5), {});
  for (int i = 0; i < 200; ++i) {
    memory.keep(std::to_string(i), {}, turn("x", 5), {});
    EXPECT_TRUE(memory.find("kept", {})) << i;   // used all the time
    EXPECT_LE(memory.bytes(), kBudget);
  }
  EXPECT_FALSE(memory.find("0", {}));
  EXPECT_TRUE(memory.find("199", {}));
  // A long conversation holds its turns, and gives up what others had.
  Conversation conversation;
  for (int i = 0; i < 200; ++i) {
    memory.keep("c" + std::to_string(i), conversation, turn("x", 1), {});
    const auto next = memory.find("c" + std::to_string(i), {});
    ASSERT_TRUE(next);
    conversation = *next;
    EXPECT_LE(conversation.size(), 64u);
    EXPECT_LE(memory.bytes(), kBudget + 2000) << i;   // the turn that was just forgotten is held here
  }
  EXPECT_FALSE(memory.find("199", {}));
  EXPECT_GE(conversation.size(), 48u);
  conversation.clear();
  memory.keep("vast", {}, turn("x", 1000), {});
  EXPECT_FALSE(memory.find("vast", {})) << "more than the budget";
  EXPECT_TRUE(memory.find("c199", {})) << "and nothing given up for it";
}

TEST(ConversationMemory, CountsAllThatItHoldsAndForgetsNoMoreThanItMust) {
  constexpr uint64_t kBudget = 1'000'000;
  ConversationMemory memory(kBudget);
  for (int i = 0; i < 100; ++i) {   // who asks is kept, too
    memory.keep("p" + std::to_string(i), {}, turn("x"), std::vector<std::string>{std::string(60'000, 'p')});
    EXPECT_LE(memory.bytes(), kBudget);
  }
  EXPECT_FALSE(memory.find("p0", std::vector<std::string>{std::string(60'000, 'p')}));
  // What a client gave of the conversation is.
  auto given = std::make_shared<Turn>();
  given->question = "q", given->answer = std::string(60'000, 'a');
  for (int i = 0; i < 100; ++i) {
    memory.keep("h" + std::to_string(i), {std::make_shared<const Turn>(*given)}, turn("x"), {});
    EXPECT_LE(memory.bytes(), kBudget);
  }
  EXPECT_FALSE(memory.find("h0", {}));
  // A large turn with a small one behind it: each that goes makes room for one.
  size_t kept = 0;
  for (int i = 0; i < 100; ++i) {
    memory.keep("a" + std::to_string(i), {}, turn("large", 50), {});
    memory.keep("b" + std::to_string(i), *memory.find("a" + std::to_string(i), {}), turn("small"), {});
    const uint64_t bytes = memory.bytes();
    EXPECT_LE(bytes, kBudget);
    if (i >= 50) {
      EXPECT_GT(bytes, kBudget / 5 * 4) << i;
    }
  }
  for (int i = 0; i < 100; ++i) kept += memory.find("b" + std::to_string(i), {}) ? 1 : 0;
  EXPECT_GE(kept, 10u);
  EXPECT_LT(kept, 20u);
}

// A small town on disk, extractive answers.
class ConversationTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "wenqu_conversation_" + std::to_string(::getpid()) + "_" +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    auto writer = *retrieval::Index::open(directory_, retrieval::Index::Mode::write);
    const std::pair<const char*, const char*> documents[] = {
        {"library", "The library closes at six on Sundays. On Saturdays the library closes at nine in the evening. It has forty chairs."},
        {"lighthouse", "The lighthouse on Grey Head was built by Erik Lund in 1887. Its light is seen from thirty miles."},
        {"lund", "Erik Lund was born in Bergen in 1841 and trained as a mason."},
        {"baker", "Anna Moss was born in Leeds and bakes the bread of the town."},
        {"ferry", "The last ferry leaves the pier at half past nine."},
        {"tea", "老榆茶馆每天早上七点开门，老板是顾三娘，招牌是榆钱茶。周末茶馆下午四点收摊。"},
        {"gu", "顾三娘出生在江州，年轻时在丝厂做工。"},
        {"bus", "七路公交首班六点，末班二十一点四十，间隔十五分钟。票价两元。"},
        {"mill", "江州丝厂二〇〇四年停产，烟囱高四十米。"},
    };
    for (const auto& [id, text] : documents) {
      retrieval::Document document;
      document.id = id, document.text = text;
      ASSERT_TRUE(writer->add(document));
    }
    ASSERT_TRUE(writer->commit());
    writer.reset();
    index_ = *retrieval::Index::open(directory_, retrieval::Index::Mode::read);
    assistant_ = std::make_unique<Assistant>(index_, std::make_shared<ExtractiveGenerator>(index_));
  }
  void TearDown() override {
    assistant_.reset();
    index_.reset();
    std::filesystem::remove_all(directory_);
  }

  struct Answer {
    std::string id, previous_id, text;
    std::vector<std::string> cited, queries;
    std::vector<std::pair<std::string, int>> numbers;   // of all results
    Event::Type end = Event::Type::created;
  };
  Status ask(const AskRequest& request, Answer& answer) {
    return assistant_->ask(request, [&](const Event& event) {
      answer.id = event.response->id, answer.previous_id = event.response->previous_id;
      if (event.type == Event::Type::text_delta) answer.text += event.delta;
      if (event.type == Event::Type::annotation_added) answer.cited.push_back(event.citation->evidence->hit.passage.document_id);
      if (event.type == Event::Type::search_completed) {
        for (const std::string& query : event.item->queries) answer.queries.push_back(query);
        for (const Evidence* evidence : event.item->results) answer.numbers.emplace_back(evidence->hit.passage.document_id, evidence->number);
      }
      if (event.is_final()) answer.end = event.type;
      return true;
    });
  }
  Answer ask(std::string question, const std::string& previous = "", Mode mode = Mode::quick) {
    AskRequest request;
    request.question = std::move(question), request.previous_response_id = previous, request.mode = mode;
    Answer answer;
    const Status status = ask(request, answer);
    EXPECT_TRUE(status) << status.to_string();
    EXPECT_EQ(answer.end, Event::Type::completed);
    return answer;
  }

  std::string directory_;
  std::shared_ptr<retrieval::Index> index_;
  std::unique_ptr<Assistant> assistant_;
};

TEST_F(ConversationTest, AQuestionGoesOnFromTheOneBefore) {
  const Answer first = ask("When does the library close on Sundays?");
  ASSERT_EQ(first.cited.at(0), "library");
  const Answer next = ask("And on Saturdays?", first.id);
  EXPECT_EQ(next.previous_id, first.id);
  ASSERT_FALSE(next.cited.empty()) << next.text;
  EXPECT_EQ(next.cited.at(0), "library");
  EXPECT_NE(next.text.find("nine in the evening"), std::string::npos) << next.text;
  const Answer tea = ask("老榆茶馆早上几点开门？");
  ASSERT_EQ(tea.cited.at(0), "tea");
  const Answer weekend = ask("那周末呢？", tea.id);
  EXPECT_NE(weekend.text.find("四点收摊"), std::string::npos) << weekend.text;
}

TEST_F(ConversationTest, APronounStandsForWhomTheAnswerNamed) {
  const Answer first = ask("Who built the lighthouse on Grey Head?");
  EXPECT_NE(first.text.find("Erik Lund"), std::string::npos);
  const Answer next = ask("Where was he born?", first.id);
  ASSERT_FALSE(next.cited.empty()) << next.text;
  EXPECT_NE(next.text.find("Bergen"), std::string::npos) << next.text;
  EXPECT_LT(next.text.find("Bergen"), next.text.find("Leeds")) << next.text;
  const Answer tea = ask("老榆茶馆的老板是谁？");
  const Answer born = ask("她出生在哪里？", tea.id, Mode::deep);
  EXPECT_NE(born.text.find("江州"), std::string::npos) << born.text;
}

TEST_F(ConversationTest, WhatStandsAloneIsAnsweredForItself) {
  const Answer first = ask("When does the library close on Sundays?");
  const Answer other = ask("When does the last ferry leave the pier?", first.id);
  EXPECT_EQ(other.queries.at(0), "When does the last ferry leave the pier?");
  EXPECT_EQ(other.cited, std::vector<std::string>{"ferry"});
  // And what follows it follows it, and not what was before.
  const Answer then = ask("七路公交末班几点？", other.id);
  EXPECT_EQ(then.queries.at(0), "七路公交末班几点？");
  const Answer price = ask("票价呢？", then.id);
  EXPECT_NE(price.text.find("两元"), std::string::npos) << price.text;
  for (const std::string& query : price.queries) EXPECT_EQ(query.find("library"), std::string::npos) << query;
}

TEST_F(ConversationTest, LeaningIsToldByTheForm) {
  const Conversation earlier = {std::make_shared<const Turn>([] {
    Turn turn;
    turn.question = "When does the library close on Sundays?";
    turn.subject = "library close Sundays";
    turn.answer = "At six.";
    return turn;
  }())};
  for (const char* question : {"And on Saturdays?", "what about the lighthouse light", "Why?", "Is it far from the pier?", "Who works there?", "Tell me about that",
                               "Any other chairs in the town?", "那公交末班呢？", "为什么？", "它的烟囱有多高？", "这个烟囱高多少米？", "还有公交吗？", "其他公交的票价是多少？"}) {
    const auto asked = read_question(*index_, question, earlier, {});
    ASSERT_TRUE(asked);
    EXPECT_TRUE(asked->leans) << question;
    EXPECT_NE(asked->context.find("library"), std::string::npos) << question;
    EXPECT_EQ(asked->before, "When does the library close on Sundays?");
  }
  for (const char* question : {"When does the last ferry leave the pier?", "Is there a ferry at the pier this week?", "Who was born in Bergen?",
                               "Who bakes the bread that the town eats?", "How much does the cinema cost?", "When was the lighthouse built and who built it?", "谁发明了蒸汽机和电话机？", "公交票价？", "丝厂的烟囱有多高，它是哪年建的？", "Is it allowed to bake bread in the town?", "那种烟囱有多高的丝厂在江州？", "七路公交的票价是多少？", "江州丝厂的烟囱有多高？"}) {
    const auto asked = read_question(*index_, question, earlier, {});
    ASSERT_TRUE(asked);
    EXPECT_FALSE(asked->leans) << question;
    EXPECT_EQ(asked->queries(Mode::quick).front(), question);
  }
  const auto alone = read_question(*index_, "And on Saturdays?", {}, {});
  ASSERT_TRUE(alone);
  EXPECT_EQ(alone->query(), "And on Saturdays?");
}

TEST_F(ConversationTest, APassageKeepsItsNumberThroughTheConversation) {
  const Answer first = ask("When does the library close on Sundays?");
  const Answer second = ask("When does the last ferry leave the pier?", first.id);
  const Answer third = ask("How many chairs has the library?", second.id);
  std::map<std::string, int> known;
  for (const Answer* answer : {&first, &second, &third})
    for (const auto& [id, number] : answer->numbers) {
      const auto [place, is_new] = known.emplace(id, number);
      EXPECT_EQ(place->second, number) << id;
      if (is_new) {
        for (const auto& [other, taken] : known) EXPECT_TRUE(other == id || taken != number) << other << " and " << id;
      }
    }
  EXPECT_GE(known.size(), 2u);
}

TEST_F(ConversationTest, NumbersGoOnWhereTheFirstTurnsAreForgotten) {
  Answer answer = ask("When does the library close on Sundays?");
  for (int i = 0; i < 64; ++i) answer = ask("When does the library close on Sundays?", answer.id);
  const Answer other = ask("七路公交的票价是多少？", answer.id);
  ASSERT_FALSE(other.numbers.empty());
  for (const auto& [id, number] : other.numbers)
    if (id == "bus") {
      EXPECT_GT(number, 1) << "which the library has in what was told before";
    }
}

TEST_F(ConversationTest, WhatWasWrittenAnewIsAnotherPassage) {
  const Answer first = ask("When does the last ferry leave the pier?");
  {
    auto writer = *retrieval::Index::open(directory_, retrieval::Index::Mode::write);
    retrieval::Document document;
    document.id = "ferry", document.text = "The last ferry leaves the pier at noon until May.";
    ASSERT_TRUE(writer->add(document));
    ASSERT_TRUE(writer->commit());
  }
  ASSERT_TRUE(index_->refresh());
  const Answer again = ask("When does the last ferry leave the pier?", first.id);
  EXPECT_NE(again.text.find("at noon"), std::string::npos) << again.text;
  EXPECT_EQ(again.text.find("half past nine"), std::string::npos) << again.text;
  EXPECT_NE(again.numbers.at(0).second, first.numbers.at(0).second);
}

TEST_F(ConversationTest, WhatStandsAloneIsNotAnsweredByWhatWasBefore) {
  const Answer first = ask("When does the library close on Sundays?");
  for (const char* question : {"How much does the cinema cost on Sundays?", "谁发明了蒸汽机和电话机？", "Which opera singers perform in Vienna?"})
    EXPECT_NE(ask(question, first.id).text.find(question[0] < 0 ? "没有找到" : "Nothing was found"), std::string::npos) << question;
  // And what asks only is answered by it.
  const Answer when = ask("When?", first.id);
  EXPECT_NE(when.text.find("closes at six on Sundays"), std::string::npos) << when.text;
}

TEST_F(ConversationTest, WhatIsNotKeptIsToldBeforeAnyEvent) {
  AskRequest request;
  request.question = "And on Saturdays?", request.previous_response_id = "resp_unknown";
  Answer answer;
  const Status unknown = ask(request, answer);
  EXPECT_EQ(unknown.code(), StatusCode::not_found);
  EXPECT_EQ(unknown.where(), "previous_response_id");
  EXPECT_EQ(answer.id, "");
  request.previous_response_id = ask("When does the library close on Sundays?").id;
  request.filter.principals = {"bob"};
  EXPECT_EQ(ask(request, answer).code(), StatusCode::not_found) << "asked by somebody else";
}

TEST_F(ConversationTest, AStoppedAnswerCanBeAskedOnFrom) {
  AskRequest request;
  request.question = "When does the library close on Sundays?";
  std::string id;
  EXPECT_TRUE(assistant_->ask(request, [&](const Event& event) {
    id = event.response->id;
    return event.type != Event::Type::search_completed;
  }));
  const Answer next = ask("And on Saturdays?", id);
  EXPECT_NE(next.text.find("nine in the evening"), std::string::npos) << next.text;
}

TEST_F(ConversationTest, AClientMayKeepItItself) {
  AskRequest request;
  request.question = "And on Saturdays?";
  request.history = {{"Who built the lighthouse?", "Erik Lund [citation:3]."}, {"When does the library close on Sundays?", "At six [citation:1]."}};
  Answer answer;
  ASSERT_TRUE(ask(request, answer));
  EXPECT_EQ(answer.numbers.at(0).second, 1) << "numbers of the client's marks mean nothing here";
  EXPECT_NE(answer.text.find("nine in the evening"), std::string::npos) << answer.text;
  // And what was answered to that is a response as any other.
  const Answer chairs = ask("How many chairs does it have?", answer.id);
  EXPECT_NE(chairs.text.find("forty chairs"), std::string::npos) << chairs.text << chairs.queries.at(0);
  request.history.assign(100, {std::string(2000, 'q'), std::string(2000, 'a')});
  EXPECT_EQ(ask(request, answer).code(), StatusCode::limit_exceeded);
}

}  // namespace
}  // namespace wenqu::assistant
