#include "retrieval/index/length_code.h"

#include <bit>
#include <cmath>

namespace wenqu::retrieval {

// A number with three mantissa bits: below 8 as it is, then exponent and the three bits after the
// leading one. The code grows with the length.
uint8_t encode_length(uint32_t terms) {
  if (terms < 8) return static_cast<uint8_t>(terms);
  const int shift = static_cast<int>(std::bit_width(terms)) - 4;
  return static_cast<uint8_t>(8 * shift + (terms >> shift));
}

double decode_length(uint8_t code) {
  if (code < 16) return code;
  const int shift = (code >> 3) - 1;
  return std::ldexp(static_cast<double>(8 + (code & 7)), shift);
}

}  // namespace wenqu::retrieval
