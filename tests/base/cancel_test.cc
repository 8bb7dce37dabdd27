#include "base/cancel.h"

#include <gtest/gtest.h>

namespace wenqu {
namespace {

TEST(Cancel, ATokenWithoutASourceIsNeverCancelled) {
  EXPECT_FALSE(CancelToken().cancelled());
  EXPECT_TRUE(CancelToken().status().is_ok());
}

TEST(Cancel, EveryCopyOfATokenSeesTheCancellation) {
  CancelSource source;
  const CancelToken before = source.token();
  EXPECT_FALSE(before.cancelled());
  source.cancel();
  EXPECT_TRUE(before.cancelled());
  EXPECT_EQ(source.token().status().code(), StatusCode::cancelled);
}

TEST(Cancel, AChildIsCancelledWithItsParentAndNotTheOtherWayRound) {
  CancelSource parent;
  CancelSource child(parent.token(), std::nullopt);
  CancelSource other(parent.token(), std::nullopt);
  other.cancel();
  EXPECT_FALSE(parent.token().cancelled());
  EXPECT_FALSE(child.token().cancelled());
  parent.cancel();
  EXPECT_TRUE(child.token().cancelled());
  EXPECT_EQ(child.token().status().code(), StatusCode::cancelled);
}

TEST(Cancel, APassedDeadlineHasItsOwnCode) {
  CancelSource source(CancelToken(), std::chrono::steady_clock::now() - std::chrono::seconds(1));
  EXPECT_TRUE(source.token().cancelled());
  EXPECT_EQ(source.token().status().code(), StatusCode::deadline_exceeded);
}

}  // namespace
}  // namespace wenqu
