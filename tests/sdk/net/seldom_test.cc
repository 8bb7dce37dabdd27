#include "sdk/net/seldom.h"

#include <gtest/gtest.h>

namespace wenqu::net {
namespace {

using std::chrono::seconds;

TEST(Seldom, TheFirstGoesAtOnceAndThenOneInEveryPauseWithTheNumberOfTheOthers) {
  Seldom seldom{seconds(60)};
  const std::chrono::steady_clock::time_point begin{};
  EXPECT_EQ(seldom.may_go(begin), 0u);
  EXPECT_EQ(seldom.may_go(begin + seconds(1)), std::nullopt);
  EXPECT_EQ(seldom.may_go(begin + seconds(59)), std::nullopt);
  EXPECT_EQ(seldom.may_go(begin + seconds(60)), 2u);
  EXPECT_EQ(seldom.may_go(begin + seconds(61)), std::nullopt);
  EXPECT_EQ(seldom.may_go(begin + seconds(500)), 1u);
}

}  // namespace
}  // namespace wenqu::net
