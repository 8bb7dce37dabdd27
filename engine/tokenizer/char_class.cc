#include "engine/tokenizer/char_class.h"

#include <unicode/uchar.h>
#include <unicode/uscript.h>

#include <vector>

namespace wenqu::engine {
namespace {

constexpr char32_t kLimit = 0x110000;

std::vector<uint16_t> build_table() {
  std::vector<uint16_t> table(kLimit);
  for (char32_t c = 0; c < kLimit; ++c) {
    const uint32_t mask = U_GET_GC_MASK(static_cast<UChar32>(c));
    uint16_t value = 0;
    if (mask & U_GC_L_MASK) value |= CharClass::kLetter;
    if (mask & U_GC_M_MASK) value |= CharClass::kMark;
    if (mask & U_GC_N_MASK) value |= CharClass::kNumber;
    if (mask & U_GC_P_MASK) value |= CharClass::kPunctuation;
    if (mask & U_GC_S_MASK) value |= CharClass::kSymbol;
    if (u_isUWhiteSpace(static_cast<UChar32>(c))) value |= CharClass::kSpace;
    if (mask & (U_GC_LU_MASK | U_GC_LT_MASK)) value |= CharClass::kUpper;
    if (mask & U_GC_LL_MASK) value |= CharClass::kLower;
    UErrorCode error = U_ZERO_ERROR;
    if (uscript_getScript(static_cast<UChar32>(c), &error) == USCRIPT_HAN) value |= CharClass::kHan;
    table[c] = value;
  }
  return table;
}

}  // namespace

uint16_t CharClass::of(char32_t c) {
  static const auto& table = *new const std::vector<uint16_t>(build_table());   // never destroyed: a host may exit while answers run
  return c < kLimit ? table[c] : 0;
}

}  // namespace wenqu::engine
