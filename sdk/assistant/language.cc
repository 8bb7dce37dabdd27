#include "sdk/assistant/language.h"

#include "base/utf8.h"

namespace wenqu::assistant {

Language detect_language(std::string_view text) {
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = utf8_next(text, pos);
    if ((c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x3FFFF))
      return Language::chinese;
  }
  return Language::english;
}

}  // namespace wenqu::assistant
