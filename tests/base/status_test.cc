#include "base/status.h"

#include <gtest/gtest.h>

namespace wenqu {
namespace {

Result<int> half(int n) {
  if (n % 2) return Status(StatusCode::invalid_argument, "odd", "n");
  return n / 2;
}

Result<int> quarter(int n) {
  WENQU_ASSIGN_OR_RETURN(const int h, half(n));
  return half(h);
}

TEST(Status, CarriesWhereFromTheInsideOut) {
  const Status status = Status(StatusCode::corrupt, "not a number", "line 3").at("a.jsonl");
  EXPECT_EQ(status.to_string(), "a.jsonl: line 3: not a number");
  EXPECT_EQ(status.code(), StatusCode::corrupt);
  EXPECT_TRUE(ok_status().at("x").is_ok());
}

TEST(Result, HandsErrorsUpward) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).status().code(), StatusCode::invalid_argument);
  EXPECT_TRUE(quarter(4).status().is_ok());
}

}  // namespace
}  // namespace wenqu
