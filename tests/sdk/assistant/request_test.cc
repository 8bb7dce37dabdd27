#include "sdk/assistant/request.h"

#include <gtest/gtest.h>

#include <cmath>

namespace wenqu::assistant {
namespace {

AskRequest asking(std::string question) {
  AskRequest request;
  request.question = std::move(question);
  return request;
}

TEST(AskRequest, AQuestionOfWhiteSpaceIsEmpty) {
  for (const char* question : {"", " ", "\t\n", "\xE3\x80\x80", "\xEF\xBB\xBF \xC2\xA0"})
    EXPECT_EQ(validate(asking(question)).code(), StatusCode::invalid_argument) << '"' << question << '"';
  EXPECT_TRUE(validate(asking("？")));
}

TEST(AskRequest, AQuestionPastTheLimitIsRefused) {
  EXPECT_TRUE(validate(asking(std::string(kMaxQuestionBytes, 'x'))));
  const Status status = validate(asking(std::string(1 << 20, 'x')));
  EXPECT_EQ(status.code(), StatusCode::limit_exceeded);
  EXPECT_EQ(status.where(), "question");
}

TEST(AskRequest, UnusableBudgetsNameTheirField) {
  AskRequest request = asking("x");
  request.temperature = std::nanf("");
  EXPECT_EQ(validate(request).where(), "temperature");
  request = asking("x");
  request.top_p = 0;
  EXPECT_EQ(validate(request).where(), "top_p");
  request = asking("x");
  request.max_answer_tokens = 0;
  EXPECT_EQ(validate(request).where(), "max_answer_tokens");
  request = asking("x");
  request.time_limit_seconds = -1;
  EXPECT_EQ(validate(request).where(), "time_limit_seconds");
  request = asking("x");
  request.passages = 51;
  EXPECT_EQ(validate(request).where(), "passages");
}

}  // namespace
}  // namespace wenqu::assistant
