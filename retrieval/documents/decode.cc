#include "retrieval/documents/decode.h"

#include <memory>

#include <fmt/format.h>
#include <unicode/ucnv.h>

#include "base/utf8.h"

namespace wenqu::retrieval {
namespace {

struct CloseConverter {
  void operator()(UConverter* converter) const { ucnv_close(converter); }
};
using Converter = std::unique_ptr<UConverter, CloseConverter>;

// False when ICU does not know the encoding. What does not decode becomes U+FFFD.
bool convert(std::string_view bytes, const char* charset, std::string& out) {
  UErrorCode error = U_ZERO_ERROR;
  const Converter from(ucnv_open(charset, &error));
  const Converter to(ucnv_open("UTF-8", &error));
  if (U_FAILURE(error)) return false;
  UChar pivot[1024];
  UChar* pivot_source = pivot;
  UChar* pivot_target = pivot;
  const char* source = bytes.data();
  const char* const source_end = source + bytes.size();
  char buffer[4096];
  for (bool first = true;; first = false) {
    char* target = buffer;
    error = U_ZERO_ERROR;
    ucnv_convertEx(to.get(), from.get(), &target, buffer + sizeof buffer, &source, source_end, pivot,
                   &pivot_source, &pivot_target, pivot + 1024, first, /*flush=*/true, &error);
    out.append(buffer, static_cast<size_t>(target - buffer));
    if (error != U_BUFFER_OVERFLOW_ERROR) return U_SUCCESS(error);
  }
}

bool decode_as(std::string_view bytes, const char* charset, DecodedText& decoded) {
  std::string text;
  if (!convert(bytes, charset, text)) return false;
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
  if (utf8_is_valid(bytes)) {
    decoded.text = bytes;
    return decoded;
  }
  // GB 18030 holds all that its forerunners, under whose names pages declare themselves, do.
  const bool chinese = declared_charset == "gb2312" || declared_charset == "gbk";
  const std::string charset = chinese ? "gb18030" : declared_charset;
  if (!charset.empty() && charset != "utf-8" && charset != "utf8" &&
      decode_as(bytes, charset.c_str(), decoded))
    return decoded;
  decoded.problem = "invalid UTF-8 was replaced by U+FFFD: convert the file to UTF-8 to mend it";
  decoded.text = utf8_sanitize(bytes);
  return decoded;
}

}  // namespace wenqu::retrieval
