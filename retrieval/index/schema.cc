#include "retrieval/index/schema.h"

#include "base/utf8.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxTermChars = 128;

}  // namespace

std::string_view index_term_bytes(std::string_view text) {
  size_t place = 0;
  for (size_t chars = 0; place < text.size() && chars < kMaxTermChars; ++chars) {
    const auto byte = static_cast<unsigned char>(text[place]);
    if (byte != 0 && byte < 0x80) {
      ++place;
      continue;
    }
    const char32_t c = utf8_next(text, place);
    if (c == 0 || c == kReplacementCharacter || (c & 0xFFFE) == 0xFFFE) return {};
  }
  return text.substr(0, place);
}

std::wstring index_term(const std::string& text) {
  std::wstring term = to_wide(text);
  if (term.size() > kMaxTermChars) term.resize(kMaxTermChars);
  for (const wchar_t c : term)
    if (c == 0 || c == 0xFFFD || (c & 0xFFFE) == 0xFFFE) return {};
  return term;
}

}  // namespace wenqu::retrieval
