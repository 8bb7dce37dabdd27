#include "base/utf8.h"

#include <gtest/gtest.h>

namespace wenqu {
namespace {

TEST(Utf8, EveryCodePointSurvivesEncodingAndDecoding) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    utf8_append(text, c);
    size_t pos = 0;
    ASSERT_EQ(utf8_next(text, pos), c);
    ASSERT_EQ(pos, text.size());
    ASSERT_TRUE(utf8_is_valid(text));
  }
}

TEST(Utf8, IllFormedBytesBecomeOneReplacementPerMaximalSubpart) {
  // The example of the Unicode Standard, table 3-8.
  EXPECT_EQ(utf8_to_utf32("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64"),
            U"a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd");
}

TEST(Utf8, OverlongSurrogateAndTooLargeFormsAreIllFormed) {
  for (const char* bad : {"\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF8\x88\x80\x80", "\xFF"}) {
    EXPECT_FALSE(utf8_is_valid(bad)) << bad;
    EXPECT_TRUE(utf8_is_valid(utf8_sanitize(bad)));
  }
}

TEST(Utf8, OffsetsCountCodePoints) {
  const std::string text = "a渠🙂b";
  EXPECT_EQ(utf8_length(text), 4u);
  EXPECT_EQ(utf8_offset(text, 0), 0u);
  EXPECT_EQ(utf8_offset(text, 2), 4u);
  EXPECT_EQ(utf8_offset(text, 3), 8u);
  EXPECT_EQ(utf8_offset(text, 99), text.size());
}

TEST(Utf8Stream, AnyCutOfATextGivesTheSameCharacters) {
  const std::string text = "问渠那得清如许 🙂 clear";
  for (size_t step = 1; step <= text.size(); ++step) {
    Utf8Stream stream;
    std::string out;
    for (size_t i = 0; i < text.size(); i += step) {
      const std::string part = stream.push(std::string_view(text).substr(i, step));
      ASSERT_TRUE(utf8_is_valid(part));
      out += part;
    }
    EXPECT_EQ(out + stream.finish(), text);
  }
}

TEST(Utf8Stream, ACharacterCutShortAtTheEndIsReplaced) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xE6\xB8"), "a");
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.finish(), "");
}

}  // namespace
}  // namespace wenqu
