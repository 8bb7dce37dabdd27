// Which encoding bytes without a label are in. Thread safety: pure.
#pragma once

#include <string>
#include <string_view>

namespace wenqu::retrieval {

// The name of the encoding as ICU knows it: GB18030, Big5, UTF-16 without a byte order mark, or what ICU's detector
// is confident of. Empty when nothing is likely: a few bytes that fit nowhere are damage, not another encoding.
// REQUIRES: not valid UTF-8, or with zero bytes in it.
std::string guess_encoding(std::string_view bytes);

// Converts to UTF-8, what does not decode becoming U+FFFD. False when ICU does not know the encoding.
bool convert_to_utf8(std::string_view bytes, const char* charset, std::string& out);

}  // namespace wenqu::retrieval
