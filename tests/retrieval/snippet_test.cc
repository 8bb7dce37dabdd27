#include "retrieval/snippet.h"

#include <gtest/gtest.h>

#include "base/utf8.h"

namespace wenqu::retrieval {
namespace {

struct Shown {
  std::string text;
  std::vector<std::string> marked;
};

Shown show(std::string_view passage, std::string_view question, size_t max_chars = 160) {
  const Analyzer analyzer;
  const Snippet snippet = make_snippet(passage, analyzer.analyze_question(question), analyzer, max_chars);
  Shown shown{snippet.text, {}};
  const std::u32string characters = utf8_to_utf32(snippet.text);
  uint32_t last = 0;
  for (const CharRange& match : snippet.matches) {
    EXPECT_LE(last, match.begin);
    EXPECT_LT(match.begin, match.end);
    EXPECT_LE(match.end, characters.size());
    last = match.end;
    shown.marked.push_back(utf32_to_utf8(characters.substr(match.begin, match.end - match.begin)));
  }
  return shown;
}

TEST(Snippet, MarksTheWordsThatWereAskedForInTheirOwnForm) {
  EXPECT_EQ(show("Herons are WELCOME here.", "heron welcome").marked, (std::vector<std::string>{"Herons", "WELCOME"}));
  EXPECT_EQ(show("清渠镇图书馆周末六点闭馆。", "图书馆几点闭馆？").marked, (std::vector<std::string>{"图书馆", "闭馆"}));
}

TEST(Snippet, ALoneCharacterIsMarkedOnlyWhereNothingBetterMatches) {
  EXPECT_EQ(show("书多，图书馆也多。", "图书馆").marked, (std::vector<std::string>{"图书馆"}));
  EXPECT_EQ(show("他爱喝茶。", "茶").marked, (std::vector<std::string>{"茶"}));
}

TEST(Snippet, ShowsThePartOfALongPassageThatMatches) {
  std::string passage;
  for (int i = 0; i < 40; ++i) passage += "渠水慢慢地流过石桥。";
  const Shown shown = show(passage + "图书馆周末六点闭馆。" + passage, "图书馆几点闭馆", 60);
  EXPECT_TRUE(shown.text.starts_with("…"));
  EXPECT_TRUE(shown.text.ends_with("…"));
  EXPECT_LE(utf8_length(shown.text), 62u);
  EXPECT_EQ(shown.marked, (std::vector<std::string>{"图书馆", "闭馆"}));
}

TEST(Snippet, WithoutAMatchItIsTheBeginning) {
  EXPECT_EQ(show("short", "absent").text, "short");
  EXPECT_TRUE(show("short", "absent").marked.empty());
  EXPECT_TRUE(show("", "x").text.empty());
}

}  // namespace
}  // namespace wenqu::retrieval
