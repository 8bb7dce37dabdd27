#include "retrieval/documents/decode.h"

#include <fmt/format.h>

#include "base/utf8.h"
#include "retrieval/documents/guess_encoding.h"

namespace wenqu::retrieval {
namespace {

bool decode_as(std::string_view bytes, const char* charset, DecodedText& decoded) {
  std::string text;
  if (!convert_to_utf8(bytes, charset, text)) return false;
  if (text.find("\uFFFD") != std::string::npos)
    decoded.problem = fmt::format("bytes that are not {} were replaced by U+FFFD", charset);
  decoded.text = utf8_sanitize(text);
  return true;
}

}  // namespace

DecodedText decode_text(std::string_view bytes, const std::string& declared_charset) {
  DecodedText decoded;
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  const bool marked_little = bytes.starts_with("\xFF\xFE"), marked_big = bytes.starts_with("\xFE\xFF");
  if ((marked_little || marked_big) &&
      decode_as(bytes.substr(2), marked_little ? "UTF-16LE" : "UTF-16BE", decoded))
    return decoded;
  if (utf8_is_valid(bytes) && bytes.find('\0') == std::string_view::npos) {
    decoded.text = bytes;
    return decoded;
  }
  // GB 18030 holds all that its forerunners, under whose names pages declare themselves, do.
  const bool chinese = declared_charset == "gb2312" || declared_charset == "gbk";
  const std::string charset = chinese ? "gb18030" : declared_charset;
  if (!charset.empty() && charset != "utf-8" && charset != "utf8" &&
      decode_as(bytes, charset.c_str(), decoded))
    return decoded;
  if (const std::string guess = guess_encoding(bytes); !guess.empty() && decode_as(bytes, guess.c_str(), decoded))
    return decoded;
  if (utf8_is_valid(bytes)) {
    decoded.text = bytes;
    return decoded;
  }
  decoded.problem = "invalid UTF-8 was replaced by U+FFFD: convert the file to UTF-8 to mend it";
  decoded.text = utf8_sanitize(bytes);
  return decoded;
}

}  // namespace wenqu::retrieval
