// The tensor types of GGUF: their numbers in the file and the shape of their blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace wenqu::engine::gguf {

enum class Type : uint32_t {
  f32 = 0, f16 = 1, q4_0 = 2, q4_1 = 3, q5_0 = 6, q5_1 = 7, q8_0 = 8,
  q2_k = 10, q3_k = 11, q4_k = 12, q5_k = 13, q6_k = 14, iq4_nl = 20, iq4_xs = 23, bf16 = 30,
};

struct TypeTraits {
  Type type;
  std::string_view name;   // as in file names: "Q4_K"
  uint32_t block_values;   // values in one block
  uint32_t block_bytes;
};

// nullptr for a number that is none of the types above.
const TypeTraits* type_traits(uint32_t number);
inline const TypeTraits& type_traits(Type type) { return *type_traits(static_cast<uint32_t>(type)); }

// Bytes of a row of `values` values. REQUIRES: values is a multiple of the block, and no overflow
// (File::open has checked both for every tensor).
inline uint64_t type_row_bytes(Type type, uint64_t values) {
  const TypeTraits& traits = type_traits(type);
  return values / traits.block_values * traits.block_bytes;
}

}  // namespace wenqu::engine::gguf
