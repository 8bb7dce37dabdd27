// Unicode classes of code points, as the pre-tokenizers' regular expressions name them. One table
// look-up each; the table is built once from ICU's data.
#pragma once

#include <cstdint>

namespace wenqu::engine {

struct CharClass {
  static constexpr uint8_t kLetter = 1;        // \p{L}
  static constexpr uint8_t kMark = 2;          // \p{M}
  static constexpr uint8_t kNumber = 4;        // \p{N}
  static constexpr uint8_t kPunctuation = 8;   // \p{P}
  static constexpr uint8_t kSymbol = 16;       // \p{S}
  static constexpr uint8_t kSpace = 32;        // \s, Unicode's White_Space

  // 0 for code points of no class above.
  static uint8_t of(char32_t c);
};

}  // namespace wenqu::engine
