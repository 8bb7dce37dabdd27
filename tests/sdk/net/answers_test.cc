#include "sdk/net/answers.h"

#include <gtest/gtest.h>

#include <future>
#include <new>

#include "tests/sdk/net/doubles.h"

namespace wenqu::net {
namespace {

// One connection's answers, of which nothing is sent.
class AnswersTest : public testing::Test {
 protected:
  void begin(std::shared_ptr<retrieval::Retriever> retriever, std::function<void(std::string)> log_failure) {
    ASSERT_TRUE(pool_.start());
    auto assistant = std::make_shared<assistant::Assistant>(std::move(retriever), std::make_shared<Scripted>());
    answers_ = std::make_shared<Answers>(std::move(assistant), pool_, outbox_, AnswerLimits(), [this] { idle_.set_value(); }, std::move(log_failure));
  }
  static assistant::AskRequest question() {
    assistant::AskRequest request;
    request.question = "When does the mill open?";
    return request;
  }
  // How often `part` is in what is to be sent.
  size_t count(std::string_view part) {
    size_t found = 0;
    while (const auto message = outbox_->take()) {
      if (message->find(part) != message->npos) ++found;
      outbox_->release();
    }
    return found;
  }

  std::promise<void> idle_;
  std::shared_ptr<Outbox> outbox_ = std::make_shared<Outbox>(size_t{1} << 20, [] {});
  std::shared_ptr<Answers> answers_;
  WorkerPool pool_{1, 8};   // ends before what its jobs use
};

TEST_F(AnswersTest, AFailureForWhoseLogThereIsNoMemoryIsToldAndTheStreamGoesOn) {
  begin(std::make_shared<NoMemory>(), [](const std::string&) { throw std::bad_alloc(); });
  std::promise<void> gate;
  ASSERT_TRUE(pool_.submit([&] { gate.get_future().wait(); }));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(answers_->create(question(), "a"));
  gate.set_value();
  idle_.get_future().wait();
  EXPECT_EQ(count(R"({"type":"response.failed")"), 2u);
  EXPECT_TRUE(answers_->idle());
}

}  // namespace
}  // namespace wenqu::net
