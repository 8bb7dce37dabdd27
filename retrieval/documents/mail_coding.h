// How mail writes bytes and words in ASCII (RFC 2045, RFC 2047). Thread safety: pure.
#pragma once

#include <string>
#include <string_view>

namespace wenqu::retrieval {

// Characters that do not belong are passed over.
std::string decode_base64(std::string_view text);
// With `in_header`, '_' is a space.
std::string decode_quoted_printable(std::string_view text, bool in_header = false);
// A header's value with its encoded words ("=?GB2312?B?...?=") as UTF-8.
std::string decode_mail_words(std::string_view value);

}  // namespace wenqu::retrieval
