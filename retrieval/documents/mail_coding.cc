#include "retrieval/documents/mail_coding.h"

#include <algorithm>
#include <cstdint>

#include "base/utf8.h"
#include "retrieval/documents/decode.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxWordBytes = 1000;   // RFC 2047 allows 75

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

struct EncodedWord {
  std::string charset;   // lower case
  std::string bytes;
  size_t size = 0;       // characters of the header that it takes; 0: there is none
};

EncodedWord parse_word(std::string_view text) {
  EncodedWord word;
  text = text.substr(0, kMaxWordBytes);
  if (!text.starts_with("=?")) return word;
  const size_t charset_end = text.find('?', 2);
  if (charset_end == std::string_view::npos || charset_end > 50 || charset_end + 2 >= text.size() || text[charset_end + 2] != '?') return word;
  const size_t begin = charset_end + 3, end = text.find("?=", begin);
  if (end == std::string_view::npos) return word;
  const char coding = static_cast<char>(text[charset_end + 1] | 32);
  if (coding != 'b' && coding != 'q') return word;
  word.charset = text.substr(2, std::min(charset_end, text.find('*', 2)) - 2);
  std::transform(word.charset.begin(), word.charset.end(), word.charset.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const std::string_view coded = text.substr(begin, end - begin);
  word.bytes = coding == 'b' ? decode_base64(coded) : decode_quoted_printable(coded, /*in_header=*/true);
  word.size = end + 2;
  return word;
}

}  // namespace

std::string decode_base64(std::string_view text) {
  std::string out;
  out.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    if (c == '=') break;
    const int digit = base64_digit(c);
    if (digit < 0) continue;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    if ((count += 6) < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xFF);
  }
  return out;
}

std::string decode_quoted_printable(std::string_view text, bool in_header) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && in_header) {
      out += ' ';
    } else if (text[i] != '=') {
      out += text[i];
    } else if (i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else if (i + 1 < text.size() && text[i + 1] == '\n') {
      ++i;
    } else if (text.substr(i).starts_with("=\r\n")) {
      i += 2;
    } else {
      out += '=';
    }
  }
  return out;
}

std::string decode_mail_words(std::string_view value) {
  std::string out;
  EncodedWord pending;   // words side by side may cut a character apart: their bytes are decoded together
  const auto flush = [&] {
    if (!pending.bytes.empty()) out += decode_text(pending.bytes, pending.charset).text;
    pending = {};
  };
  while (!value.empty()) {
    EncodedWord word = parse_word(value);
    if (word.size > 0) {
      value.remove_prefix(word.size);
      if (word.charset != pending.charset) flush();
      pending.charset = word.charset;
      pending.bytes += word.bytes;
      const size_t next = value.find_first_not_of(" \t\r\n");
      if (next != std::string_view::npos && parse_word(value.substr(next)).size > 0) value.remove_prefix(next);
      continue;
    }
    flush();
    const size_t next = std::min(value.find("=?", 1), value.size());
    out += value.substr(0, next);
    value.remove_prefix(next);
  }
  flush();
  return utf8_is_valid(out) ? out : decode_text(out).text;
}

}  // namespace wenqu::retrieval
