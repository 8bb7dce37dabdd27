#include "sdk/assistant/thought_parser.h"

#include <gtest/gtest.h>

namespace wenqu::assistant {
namespace {

struct Split {
  std::string thinking, answer;
  bool operator==(const Split&) const = default;
};

Split parse(std::string_view output, size_t step, bool starts_in_thinking) {
  ThoughtParser parser(starts_in_thinking);
  Split all;
  for (size_t i = 0; i < output.size(); i += step) {
    const auto part = parser.push(output.substr(i, step));
    all.thinking += part.thinking;
    all.answer += part.answer;
  }
  const auto part = parser.finish();
  all.thinking += part.thinking;
  all.answer += part.answer;
  return all;
}

TEST(ThoughtParser, EveryCutOfAnOutputGivesTheSameParts) {
  struct Case {
    const char* output;
    bool inside;
    Split want;
  };
  const Case cases[] = {
      {"想一想\n</think>\n\n答案", true, {"想一想\n", "答案"}},
      {"\n想\n</think>答", true, {"想\n", "答"}},
      {"</think>answer", true, {"", "answer"}},
      {"\n\n</think>\n\nanswer", true, {"", "answer"}},
      {"<think>a < b </thin k</think> c </think>", false, {"a < b </thin k", "c </think>"}},
      {" \n<think>a</think>b", false, {"a", "b"}},
      {"no thought <think>x</think>", false, {"", "no thought <think>x</think>"}},
      {"never closed </thi", true, {"never closed </thi", ""}},
      {"<thin", false, {"", "<thin"}},
      {"", true, {"", ""}},
  };
  for (const Case& c : cases)
    for (size_t step = 1; step <= std::string_view(c.output).size() + 1; ++step)
      EXPECT_EQ(parse(c.output, step, c.inside), c.want) << c.output << " cut every " << step;
}

TEST(ThoughtParser, TellsTheEndOfAThoughtBeforeThereIsAnAnswer) {
  ThoughtParser parser(true);
  EXPECT_FALSE(parser.push("x</think").thinking_ended);
  EXPECT_TRUE(parser.push(">").thinking_ended);
  EXPECT_FALSE(parser.push("\n\nanswer").thinking_ended);
}

TEST(ThoughtParser, KnowsWhetherItIsInsideAThought) {
  ThoughtParser parser(true);
  EXPECT_TRUE(parser.in_thinking());
  parser.push("x</think");
  EXPECT_TRUE(parser.in_thinking());
  parser.push(">");
  EXPECT_FALSE(parser.in_thinking());
}

}  // namespace
}  // namespace wenqu::assistant
