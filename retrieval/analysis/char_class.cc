#include "retrieval/analysis/char_class.h"

#include <unicode/uchar.h>
#include <unicode/uscript.h>

namespace wenqu::retrieval {
namespace {

CharClass classify_ascii(char32_t c) {
  if (c >= '0' && c <= '9') return CharClass::digit;
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return CharClass::letter;
  return CharClass::other;
}

bool is_unspaced_script(UChar32 c) {
  UErrorCode error = U_ZERO_ERROR;
  switch (uscript_getScript(c, &error)) {
    case USCRIPT_HAN:
    case USCRIPT_HIRAGANA:
    case USCRIPT_KATAKANA:
    case USCRIPT_HANGUL:
    case USCRIPT_BOPOMOFO:
    case USCRIPT_YI:
    case USCRIPT_THAI:
    case USCRIPT_LAO:
    case USCRIPT_KHMER:
    case USCRIPT_MYANMAR:
      return true;
    default:
      return c == 0x30FC;  // the long vowel mark belongs to both kana
  }
}

}  // namespace

CharClass classify(char32_t code_point) {
  if (code_point < 0x80) return classify_ascii(code_point);
  if (code_point >= 0x4E00 && code_point <= 0x9FFF) return CharClass::syllable;
  const auto c = static_cast<UChar32>(code_point);
  const uint32_t category = U_GET_GC_MASK(c);
  if (category & U_GC_ND_MASK) return CharClass::digit;
  if (category & (U_GC_L_MASK | U_GC_M_MASK | U_GC_NL_MASK))
    return is_unspaced_script(c) ? CharClass::syllable : CharClass::letter;
  if ((category & U_GC_SO_MASK) && u_hasBinaryProperty(c, UCHAR_EXTENDED_PICTOGRAPHIC))
    return CharClass::pictograph;
  return CharClass::other;
}

}  // namespace wenqu::retrieval
