#include "engine/convert/dtype.h"

#include <array>
#include <cmath>
#include <cstring>

#include "engine/cpu/blocks.h"

namespace wenqu::engine::convert {
namespace {

constexpr DType kTypes[] = {{"F32", 32, true},       {"F16", 16, true},      {"BF16", 16, true}, {"F8_E4M3", 8, true},
                            {"F8_E5M2", 8, false},   {"F8_E8M0", 8, false},  {"F64", 64, false}, {"BOOL", 8, false},
                            {"U8", 8, false},        {"I8", 8, false},       {"U16", 16, false}, {"I16", 16, false},
                            {"U32", 32, false},      {"I32", 32, false},     {"U64", 64, false}, {"I64", 64, false}};

const std::array<float, 256>& f8_table() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values{};
    for (int i = 0; i < 256; ++i) {
      const int exponent = i >> 3 & 15, fraction = i & 7;
      const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -9)
                                            : std::ldexp(1 + static_cast<float>(fraction) / 8, exponent - 7);
      values[static_cast<size_t>(i)] = (i & 127) == 127 ? NAN : i & 128 ? -magnitude : magnitude;
    }
    return values;
  }();
  return table;
}

}  // namespace

const DType* find_dtype(std::string_view name) {
  for (const DType& type : kTypes)
    if (type.name == name) return &type;
  return nullptr;
}

float f8_e4m3_to_float(uint8_t bits) { return f8_table()[bits]; }

void decode(const DType& dtype, const std::byte* data, size_t count, float* out) {
  if (dtype.name == "F32") {
    std::memcpy(out, data, count * 4);
  } else if (dtype.name == "F8_E4M3") {
    const std::array<float, 256>& table = f8_table();
    for (size_t i = 0; i < count; ++i) out[i] = table[static_cast<uint8_t>(data[i])];
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
