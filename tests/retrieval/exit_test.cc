// A host may exit while searches run: their tables must outlive everything that an exit destroys.
#include <gtest/gtest.h>

#include <cstdlib>

#include "retrieval/analysis/analyzer.h"
#include "retrieval/analysis/pinyin.h"

namespace wenqu::retrieval {
namespace {

// What the tables of analysis say.
std::string analysed() {
  std::string told;
  for (const Term& term : Analyzer().analyze_question("請問圖書館的閱覽室什么时候开门? When does the reading room open?")) told += term.text + " ";
  for (const Reading& reading : readings_of(U"重庆")) told += reading.full + " ";
  for (const size_t end : syllable_ends("chongqing")) told += std::to_string(end) + " ";
  return told;
}

// What is registered first runs last: after the destructors of all that is made from then on.
void search_after_the_statics() {
  static std::string& before = *new std::string;
  std::atexit([] { std::_Exit(analysed() == before ? 0 : 1); });
  before = analysed();
  std::exit(2);
}

TEST(ExitDeathTest, TheTablesOfSearchesAreNeverDestroyed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");   // a process of its own, where nothing has been analysed yet
  EXPECT_EXIT(search_after_the_statics(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace wenqu::retrieval
