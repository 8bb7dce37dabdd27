#include "engine/convert/dtype.h"

#include <cstring>

#include "engine/cpu/blocks.h"
#include "engine/cpu/fp8.h"

namespace wenqu::engine::convert {
namespace {

constexpr DType kTypes[] = {{"F32", 32, true},       {"F16", 16, true},      {"BF16", 16, true}, {"F8_E4M3", 8, true},
                            {"F8_E5M2", 8, false},   {"F8_E8M0", 8, false},  {"F64", 64, false}, {"BOOL", 8, false},
                            {"U8", 8, false},        {"I8", 8, false},       {"U16", 16, false}, {"I16", 16, false},
                            {"U32", 32, false},      {"I32", 32, false},     {"U64", 64, false}, {"I64", 64, false}};

}  // namespace

const DType* find_dtype(std::string_view name) {
  for (const DType& type : kTypes)
    if (type.name == name) return &type;
  return nullptr;
}

void decode(const DType& dtype, const std::byte* data, size_t count, float* out) {
  if (dtype.name == "F32") {
    std::memcpy(out, data, count * 4);
  } else if (dtype.name == "F8_E4M3") {
    for (size_t i = 0; i < count; ++i) out[i] = cpu::e4m3_to_float(static_cast<uint8_t>(data[i]));
  } else {
    const bool half = dtype.name == "F16";
    for (size_t i = 0; i < count; ++i) {
      uint16_t bits;
      std::memcpy(&bits, data + 2 * i, 2);
      out[i] = half ? cpu::half_to_float(bits) : cpu::bfloat_to_float(bits);
    }
  }
}

}  // namespace wenqu::engine::convert
