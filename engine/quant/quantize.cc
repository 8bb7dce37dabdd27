#include "engine/quant/quantize.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "engine/quant/pack.h"

namespace wenqu::engine::quant {
namespace {

Status beyond(gguf::Type type, const float* values, size_t begin, size_t count) {
  size_t top = 0;
  for (size_t i = 0; i < count; ++i)
    if (std::fabs(values[i]) > std::fabs(values[top])) top = i;
  return Status(StatusCode::invalid_argument,
                fmt::format("is {:g}, beyond what {} can hold: BF16 and F32 can", values[top], gguf::type_traits(type).name),
                fmt::format("value {}", begin + top));
}

template <typename Block>
Status pack_row(gguf::Type type, const float* values, size_t n, std::byte* out) {
  const size_t size = gguf::type_traits(type).block_values;
  for (size_t i = 0; i < n; i += size, out += sizeof(Block)) {
    Block block;
    if (!pack(values + i, block)) return beyond(type, values + i, i, size);
    std::memcpy(out, &block, sizeof(Block));
  }
  return {};
}

Status pack_halves(const float* values, size_t n, std::byte* out) {
  for (size_t i = 0; i < n; ++i) {
    const uint16_t half = cpu::float_to_half(values[i]);
    if (is_infinite(half)) return beyond(gguf::Type::f16, values + i, i, 1);
    std::memcpy(out + i * 2, &half, 2);
  }
  return {};
}

// To the nearest, ties to even; the few values that would round to infinity are an error.
Status pack_bfloats(const float* values, size_t n, std::byte* out) {
  for (size_t i = 0; i < n; ++i) {
    uint32_t bits;
    std::memcpy(&bits, values + i, 4);
    const uint16_t half = static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    if ((half & 0x7F80) == 0x7F80)
      return Status(StatusCode::invalid_argument, fmt::format("is {:g}, beyond what BF16 can hold: F32 can", values[i]),
                    fmt::format("value {}", i));
    std::memcpy(out + i * 2, &half, 2);
  }
  return {};
}

}  // namespace

Status quantize_row(gguf::Type type, const float* values, size_t n, std::byte* out) {
  for (size_t i = 0; i < n; ++i)
    if (!std::isfinite(values[i]))
      return Status(StatusCode::invalid_argument, fmt::format("is {:g}, which is no number that can be written", values[i]),
                    fmt::format("value {}", i));
  switch (type) {
    case gguf::Type::f32: std::memcpy(out, values, n * sizeof(float)); return {};
    case gguf::Type::f16: return pack_halves(values, n, out);
    case gguf::Type::bf16: return pack_bfloats(values, n, out);
    case gguf::Type::q8_0: return pack_row<cpu::BlockQ8_0>(type, values, n, out);
    case gguf::Type::q4_0: return pack_row<cpu::BlockQ4_0>(type, values, n, out);
    case gguf::Type::q4_1: return pack_row<cpu::BlockQ4_1>(type, values, n, out);
    case gguf::Type::q5_0: return pack_row<cpu::BlockQ5_0>(type, values, n, out);
    case gguf::Type::q5_1: return pack_row<cpu::BlockQ5_1>(type, values, n, out);
    case gguf::Type::iq4_nl: return pack_row<cpu::BlockIQ4NL>(type, values, n, out);
    case gguf::Type::q2_k: return pack_row<cpu::BlockQ2K>(type, values, n, out);
    case gguf::Type::q3_k: return pack_row<cpu::BlockQ3K>(type, values, n, out);
    case gguf::Type::q4_k: return pack_row<cpu::BlockQ4K>(type, values, n, out);
    case gguf::Type::q5_k: return pack_row<cpu::BlockQ5K>(type, values, n, out);
    case gguf::Type::q6_k: return pack_row<cpu::BlockQ6K>(type, values, n, out);
    case gguf::Type::iq4_xs: return pack_row<cpu::BlockIQ4XS>(type, values, n, out);
  }
  return Status(StatusCode::internal, "unknown type");
}

}  // namespace wenqu::engine::quant
