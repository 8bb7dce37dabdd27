// What documents say, shown on a terminal.
#pragma once

#include <string>
#include <string_view>

namespace wenqu::cli {

// Control characters but line breaks and tabs as U+FFFD: a document may not talk to the terminal.
inline std::string visible(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool second = c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) >= 0x80 && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (second) ++i;   // U+0080 to U+009F
    if (second || c == 0x7F || (c < 0x20 && c != '\n' && c != '\t')) out += "\xEF\xBF\xBD";
    else out += text[i];
  }
  return out;
}

}  // namespace wenqu::cli
