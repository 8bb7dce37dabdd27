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

// REQUIRES: dtype.readable. `data` need not be aligned.
void decode(const DType& dtype, const std::byte* data, size_t count, float* out);

}  // namespace wenqu::engine::convert
