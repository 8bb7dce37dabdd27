#include "base/json_depth.h"

#include <gtest/gtest.h>

#include <string>

namespace wenqu {
namespace {

TEST(JsonDepth, CountsWhatLiesInsideEachOtherAndNotBesideOrInStrings) {
  EXPECT_FALSE(json_is_deeper("", 0));
  EXPECT_TRUE(json_is_deeper("[", 0));
  EXPECT_FALSE(json_is_deeper(R"([{"a":[1]},{"b":[2]}])", 3));
  EXPECT_TRUE(json_is_deeper(R"([{"a":[1]},{"b":[2]}])", 2));
  EXPECT_FALSE(json_is_deeper(R"(["[[[[\"[[[\\"])", 1));
  EXPECT_TRUE(json_is_deeper(R"(["\\",[]])", 1));
  EXPECT_TRUE(json_is_deeper("]]]]]" + std::string(3, '['), 2)) << "what closes nothing makes no room";
}

}  // namespace
}  // namespace wenqu
