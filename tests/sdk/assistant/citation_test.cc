#include "sdk/assistant/citation.h"

#include <gtest/gtest.h>

#include "base/utf8.h"

namespace wenqu::assistant {
namespace {

std::deque<Evidence> three() {
  std::deque<Evidence> evidence(3);
  for (int i = 0; i < 3; ++i) evidence[i].number = i + 1;
  return evidence;
}

struct Parsed {
  std::string text;
  std::vector<std::pair<int, retrieval::CharRange>> citations;
  bool operator==(const Parsed&) const = default;
};

Parsed parse(const std::deque<Evidence>& evidence, std::string_view answer, size_t step) {
  CitationParser parser(evidence);
  Parsed all;
  const auto add = [&](const std::vector<CitationParser::Part>& parts) {
    for (const auto& part : parts) {
      all.text += part.text;
      for (const Citation& citation : part.citations) {
        EXPECT_EQ(citation.evidence->number, citation.number);
        all.citations.emplace_back(citation.number, citation.mark);
      }
    }
  };
  for (size_t i = 0; i < answer.size(); i += step) add(parser.push(answer.substr(i, step)));
  add(parser.finish());
  return all;
}

TEST(CitationParser, BindsMarksToPassagesAtTheirPlaceInCodePoints) {
  const auto evidence = three();
  const std::string answer = "六点关门[citation:2][citation:3]。";
  for (size_t step = 1; step <= answer.size(); ++step) {
    const Parsed got = parse(evidence, answer, step);
    EXPECT_EQ(got.text, answer);
    EXPECT_EQ(got.citations, (decltype(got.citations){{2, {4, 16}}, {3, {16, 28}}})) << step;
    EXPECT_EQ(utf8_to_utf32(got.text).substr(4, 12), U"[citation:2]");
  }
}

TEST(CitationParser, TakesOutMarksOfPassagesThatWereNotFound) {
  const auto evidence = three();
  const std::string answer = "a[citation:4]b[citation:0]c[citation:1]";
  for (size_t step = 1; step <= answer.size(); ++step) {
    const Parsed got = parse(evidence, answer, step);
    EXPECT_EQ(got.text, "abc[citation:1]");
    EXPECT_EQ(got.citations, (decltype(got.citations){{1, {3, 15}}}));
  }
}

TEST(CitationParser, LeavesOtherBracketsAlone) {
  const auto evidence = three();
  for (const std::string answer : {"[1] x[y]", "[citation", "[citation:", "[citation:x]", "[citation:9999999999]", "[[citation:12",
                                   "[citation:1 ]"}) {
    for (size_t step = 1; step <= answer.size(); ++step) {
      const Parsed got = parse(evidence, answer, step);
      EXPECT_EQ(got.text, answer) << step;
      EXPECT_TRUE(got.citations.empty());
    }
  }
}

TEST(CitationParser, SeesEvidenceThatIsFoundWhileTheAnswerRuns) {
  std::deque<Evidence> evidence;
  CitationParser parser(evidence);
  EXPECT_TRUE(parser.push("[citation:1]").empty());
  evidence.push_back({.number = 1});
  const auto parts = parser.push("[citation:1]");
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].citations.size(), 1u);
}

}  // namespace
}  // namespace wenqu::assistant
