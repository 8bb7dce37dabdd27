#include "engine/tokenizer/char_class.h"

#include <unicode/uchar.h>

#include <vector>

namespace wenqu::engine {
namespace {

constexpr char32_t kLimit = 0x110000;

std::vector<uint8_t> build_table() {
  std::vector<uint8_t> table(kLimit);
  for (char32_t c = 0; c < kLimit; ++c) {
    const uint32_t mask = U_GET_GC_MASK(static_cast<UChar32>(c));
    uint8_t value = 0;
    if (mask & U_GC_L_MASK) value |= CharClass::kLetter;
    if (mask & U_GC_M_MASK) value |= CharClass::kMark;
    if (mask & U_GC_N_MASK) value |= CharClass::kNumber;
    if (mask & U_GC_P_MASK) value |= CharClass::kPunctuation;
    if (mask & U_GC_S_MASK) value |= CharClass::kSymbol;
    if (u_isUWhiteSpace(static_cast<UChar32>(c))) value |= CharClass::kSpace;
    table[c] = value;
  }
  return table;
}

}  // namespace

uint8_t CharClass::of(char32_t c) {
  static const std::vector<uint8_t> table = build_table();
  return c < kLimit ? table[c] : 0;
}

}  // namespace wenqu::engine
