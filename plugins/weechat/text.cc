// SPDX-License-Identifier: GPL-3.0-or-later
#include "text.h"

namespace wenqu_weechat {

std::string clean(std::string_view text) {
  constexpr std::string_view kMark = "[citation:";
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (text.substr(i).starts_with(kMark)) {
      out += '[';
      i += kMark.size() - 1;
    } else if (c == '\t') {
      out += ' ';
    } else if (c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0) {
      ++i;   // a control character above U+007F
    } else if (c == '\n' || (c >= 0x20 && c != 0x7F)) {
      out += text[i];
    }
  }
  return out;
}

}  // namespace wenqu_weechat
