#include "base/utf8.h"

namespace wenqu {
namespace {

struct Decoded {
  char32_t code_point;  // U+FFFD when ill formed
  size_t length;        // bytes consumed, at least 1
  bool valid;
  bool truncated;       // ill formed only because the text ends here
};

Decoded decode(std::string_view text, size_t pos) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(pos);
  if (lead < 0x80) return {lead, 1, true, false};

  size_t count;             // continuation bytes
  unsigned low = 0x80, high = 0xBF;  // bounds of the first continuation byte
  char32_t value;
  if (lead >= 0xC2 && lead <= 0xDF) {
    count = 1, value = lead & 0x1F;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    count = 2, value = lead & 0x0F;
    if (lead == 0xE0) low = 0xA0;   // overlong
    if (lead == 0xED) high = 0x9F;  // surrogates
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    count = 3, value = lead & 0x07;
    if (lead == 0xF0) low = 0x90;   // overlong
    if (lead == 0xF4) high = 0x8F;  // above U+10FFFF
  } else {
    return {kReplacementCharacter, 1, false, false};
  }
  for (size_t i = 1; i <= count; ++i) {
    if (pos + i >= text.size()) return {kReplacementCharacter, i, false, true};
    const unsigned next = byte(pos + i);
    if (next < low || next > high) return {kReplacementCharacter, i, false, false};
    low = 0x80, high = 0xBF;
    value = (value << 6) | (next & 0x3F);
  }
  return {value, count + 1, true, false};
}

}  // namespace

char32_t utf8_next(std::string_view text, size_t& pos) {
  const Decoded d = decode(text, pos);
  pos += d.length;
  return d.code_point;
}

void utf8_append(std::string& out, char32_t c) {
  if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) c = kReplacementCharacter;
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

bool utf8_is_valid(std::string_view text) {
  for (size_t pos = 0; pos < text.size();) {
    const Decoded d = decode(text, pos);
    if (!d.valid) return false;
    pos += d.length;
  }
  return true;
}

std::string utf8_sanitize(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) {
    const Decoded d = decode(text, pos);
    if (d.valid)
      out.append(text.substr(pos, d.length));
    else
      utf8_append(out, kReplacementCharacter);
    pos += d.length;
  }
  return out;
}

size_t utf8_length(std::string_view text) {
  size_t count = 0;
  for (size_t pos = 0; pos < text.size(); ++count) pos += decode(text, pos).length;
  return count;
}

size_t utf8_offset(std::string_view text, size_t index) {
  size_t pos = 0;
  for (; index > 0 && pos < text.size(); --index) pos += decode(text, pos).length;
  return pos;
}

std::u32string utf8_to_utf32(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) out += utf8_next(text, pos);
  return out;
}

std::string utf32_to_utf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char32_t c : text) utf8_append(out, c);
  return out;
}

size_t utf8_complete_prefix(std::string_view text) {
  // A character that could still be completed starts at most three bytes before the end.
  size_t pos = text.size() > 3 ? text.size() - 3 : 0;
  for (; pos < text.size(); ++pos) {
    const unsigned lead = static_cast<unsigned char>(text[pos]);
    if (lead >= 0xC0 && decode(text, pos).truncated) return pos;
  }
  return text.size();
}

std::string Utf8Stream::push(std::string_view bytes) {
  pending_.append(bytes);
  const size_t complete = utf8_complete_prefix(pending_);
  std::string out = utf8_sanitize(std::string_view(pending_).substr(0, complete));
  pending_.erase(0, complete);
  return out;
}

std::string Utf8Stream::finish() {
  std::string out = utf8_sanitize(pending_);
  pending_.clear();
  return out;
}

}  // namespace wenqu
