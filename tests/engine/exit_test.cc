// A host may exit while answers run: their tables must outlive everything that an exit destroys.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "engine/tokenizer/char_class.h"
#include "engine/tokenizer/vocabulary.h"

namespace wenqu::engine {
namespace {

bool tables_are_there() {
  return (CharClass::of(U'渠') & CharClass::kHan) != 0 && characters_to_bytes("\xC4\xA0\xC3\xA9") == " \xE9";   // Ġ and é
}

// What is registered first runs last: after the destructors of all that is made from then on.
void look_after_the_statics() {
  std::atexit([] { std::_Exit(tables_are_there() ? 0 : 1); });
  std::exit(tables_are_there() ? 2 : 3);
}

TEST(ExitDeathTest, TheTablesOfTokenizersAreNeverDestroyed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");   // a process of its own, where nothing has looked yet
  EXPECT_EXIT(look_after_the_statics(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace wenqu::engine
