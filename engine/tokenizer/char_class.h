// Unicode classes of code points, as the pre-tokenizers' regular expressions name them. One table
// look-up each; the table is built once from ICU's data.
#pragma once

#include <cstdint>

namespace wenqu::engine {

struct CharClass {
  static constexpr uint16_t kLetter = 1;        // \p{L}
  static constexpr uint16_t kMark = 2;          // \p{M}
  static constexpr uint16_t kNumber = 4;        // \p{N}
  static constexpr uint16_t kPunctuation = 8;   // \p{P}
  static constexpr uint16_t kSymbol = 16;       // \p{S}
  static constexpr uint16_t kSpace = 32;        // \s, Unicode's White_Space
  static constexpr uint16_t kUpper = 64;       // \p{Lu} and \p{Lt}
  static constexpr uint16_t kLower = 128;      // \p{Ll}
  static constexpr uint16_t kHan = 256;        // \p{Han}, the script

  // 0 for code points of no class above.
  static uint16_t of(char32_t c);
};

}  // namespace wenqu::engine
