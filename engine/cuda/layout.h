// How a row of weights lies on the device. A GGUF row is a chain of blocks, and blocks of 34 or 210 bytes cannot
// be read in words. So a row is taken apart when it is uploaded: field by field, all blocks' first fields, then all
// blocks' second ones, each of these planes aligned to 16 bytes. No bit of it changes, and what is read for a
// token stays as many bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/cuda/machine.h"
#include "engine/gguf/type.h"

namespace wenqu::engine::cuda {

inline constexpr int kMaxPlanes = 4;

struct Plane {
  int offset = 0;   // in a block of the file
  int bytes = 0;
};

struct RowLayout {
  int block_values = 1, block_bytes = 0;
  int planes = 0;
  Plane plane[kMaxPlanes];

  // Where plane p begins in a row of `blocks` blocks; p == planes: where the row ends.
  WENQU_BOTH constexpr int begin(int p, int blocks) const {
    int at = 0;
    for (int i = 0; i < p; ++i) at += round_up(blocks * plane[i].bytes, 16);
    return at;
  }
};

// The quants first, then what scales them.
WENQU_BOTH constexpr RowLayout row_layout(gguf::Type type) {
  using gguf::Type;
  switch (type) {
    case Type::f32: return {1, 4, 1, {{0, 4}}};
    case Type::f16: return {1, 2, 1, {{0, 2}}};
    case Type::bf16: return {1, 2, 1, {{0, 2}}};
    case Type::q8_0: return {32, 34, 2, {{2, 32}, {0, 2}}};
    case Type::q4_0: return {32, 18, 2, {{2, 16}, {0, 2}}};
    case Type::iq4_nl: return {32, 18, 2, {{2, 16}, {0, 2}}};
    case Type::q4_1: return {32, 20, 2, {{4, 16}, {0, 4}}};
    case Type::q5_0: return {32, 22, 3, {{6, 16}, {2, 4}, {0, 2}}};
    case Type::q5_1: return {32, 24, 3, {{8, 16}, {4, 4}, {0, 4}}};
    case Type::q2_k: return {256, 84, 3, {{16, 64}, {0, 16}, {80, 4}}};
    case Type::q3_k: return {256, 110, 4, {{32, 64}, {0, 32}, {96, 12}, {108, 2}}};
    case Type::q4_k: return {256, 144, 2, {{16, 128}, {0, 16}}};
    case Type::q5_k: return {256, 176, 3, {{48, 128}, {16, 32}, {0, 16}}};
    case Type::q6_k: return {256, 210, 4, {{0, 128}, {128, 64}, {192, 16}, {208, 2}}};
    case Type::iq4_xs: return {256, 136, 2, {{8, 128}, {0, 8}}};
  }
  return {};
}

// Bytes of a row on the device.
WENQU_BOTH constexpr size_t device_row_bytes(gguf::Type type, int values) {
  const RowLayout layout = row_layout(type);
  return static_cast<size_t>(layout.begin(layout.planes, values / layout.block_values));
}

// Whether products of the type are of whole numbers; the others are of floats.
WENQU_BOTH constexpr bool is_quantized(gguf::Type type) {
  return type != gguf::Type::f32 && type != gguf::Type::f16 && type != gguf::Type::bf16;
}

// Takes a row of the file apart. to: device_row_bytes() bytes.
void lay_out_row(gguf::Type type, const std::byte* from, int values, std::byte* to);

}  // namespace wenqu::engine::cuda
