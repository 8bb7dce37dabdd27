// The length of a field in one byte, as Lucene++'s norms have room for: exact below 8, then to one eighth.
#pragma once

#include <cstdint>

namespace wenqu::retrieval {

uint8_t encode_length(uint32_t terms);
double decode_length(uint8_t code);

// The code of a passage that lacks the field: a length that none has.
inline constexpr uint8_t kFieldAbsent = 124;

}  // namespace wenqu::retrieval
