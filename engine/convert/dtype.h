// The number formats of safetensors files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace wenqu::engine::convert {

struct DType {
  std::string_view name;   // as in the file: "BF16"
  uint32_t bits;
  bool readable;           // decode() knows it
};

// nullptr for a name that the format does not have.
const DType* find_dtype(std::string_view name);

// FP8 with four bits of exponent and three of fraction (arXiv 2209.05433): no infinities, S.1111.111 is NaN.
float f8_e4m3_to_float(uint8_t bits);

// REQUIRES: dtype.readable. `data` need not be aligned.
void decode(const DType& dtype, const std::byte* data, size_t count, float* out);

}  // namespace wenqu::engine::convert
