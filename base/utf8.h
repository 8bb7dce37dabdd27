// UTF-8 as RFC 3629 and the Unicode Standard (section 3.9, "maximal subpart" practice) define it.
// All functions are pure and accept any bytes; positions are byte offsets unless said otherwise.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace wenqu {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

// The code point at `pos`, which is moved past it. An ill-formed sequence gives U+FFFD and moves
// past its maximal subpart (one byte at least). REQUIRES: pos < text.size()
char32_t utf8_next(std::string_view text, size_t& pos);

// Appends a code point; a surrogate or a value above U+10FFFF becomes U+FFFD.
void utf8_append(std::string& out, char32_t code_point);

bool utf8_is_valid(std::string_view text);

// The text with each ill-formed sequence replaced by U+FFFD.
std::string utf8_sanitize(std::string_view text);

// How many code points utf8_next would give.
size_t utf8_length(std::string_view text);

// The byte offset of code point number `index`; text.size() when there are not so many.
size_t utf8_offset(std::string_view text, size_t index);

std::u32string utf8_to_utf32(std::string_view text);
std::string utf32_to_utf8(std::u32string_view text);

// The longest prefix that does not end inside a character that further bytes could complete.
size_t utf8_complete_prefix(std::string_view text);

// Turns a stream of byte pieces that may split characters into pieces of whole characters.
// Thread safety: one thread at a time.
class Utf8Stream {
 public:
  // Whole, valid characters that `bytes` completes; ill-formed ones come out as U+FFFD.
  std::string push(std::string_view bytes);
  // What is left at the end: empty, or U+FFFD for a character cut short.
  std::string finish();

 private:
  std::string pending_;
};

}  // namespace wenqu
