// Rows of numbers that weights are multiplied with: as floats, and rounded to bytes in blocks of 32 that share a
// scale. Weights of whole numbers meet the bytes, F32, F16 and BF16 the floats.
#pragma once

#include "engine/cuda/machine.h"

namespace wenqu::engine::cuda {

inline constexpr int kBlock = 32;   // numbers that share a scale

// Rows of halves, each with a scale, a power of two: number = scale * half.
struct Halves {
  Half* values = nullptr;          // [rows][stride], zeros behind the last number
  float* scales = nullptr;         // [rows]
  int stride = 0;                  // a multiple of kTileDepth
};

struct Input {
  const float* values = nullptr;   // [rows][value_stride]
  int value_stride = 0;
  const int8_t* q = nullptr;       // [rows][q_stride], q_stride a multiple of kBlock; zeros behind the last number
  const float* scales = nullptr;   // [rows][q_stride / kBlock]
  int q_stride = 0;
  Halves halves = {};              // room for the rows once more, made of `values` where they are needed; values nullptr: none
};

// Where rounded rows are written.
struct Rounded {
  int8_t* q = nullptr;
  float* scales = nullptr;
  int stride = 0;
};

// A warp rounds a block: each lane has one of its numbers.
template <typename Machine>
WENQU_DEVICE void store_rounded(Machine& m, const Rounded& to, int row, int block, float value) {
  const float largest = warp_max(m, value < 0 ? -value : value);
  const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
  m.store(to.q + static_cast<size_t>(row) * to.stride + block * kBlock + m.lane(), static_cast<int8_t>(m.round(value * inverse)));
  if (m.lane() == 0) m.store(to.scales + static_cast<size_t>(row) * (to.stride / kBlock) + block, largest / 127.0f);
}

// The same where a lane has four neighbours, and eight lanes a block; all lanes take part, those `active` write.
template <typename Machine>
WENQU_DEVICE void store_rounded_fours(Machine& m, const Rounded& to, int row, int first, const Float4& v, bool active) {
  const auto larger = [](float a, float b) { return a > b ? a : b; };
  const auto size = [](float a) { return a < 0 ? -a : a; };
  float largest = larger(larger(size(v.x), size(v.y)), larger(size(v.z), size(v.w)));
  for (int mask = 4; mask > 0; mask /= 2) largest = larger(largest, m.shuffle_xor(largest, mask));
  if (!active) return;
  const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
  const auto byte = [&](float a, int i) { return (static_cast<uint32_t>(m.round(a * inverse)) & 255) << (8 * i); };
  m.store(reinterpret_cast<uint32_t*>(to.q + static_cast<size_t>(row) * to.stride + first), byte(v.x, 0) | byte(v.y, 1) | byte(v.z, 2) | byte(v.w, 3));
  if (first % kBlock == 0) m.store(to.scales + static_cast<size_t>(row) * (to.stride / kBlock) + first / kBlock, largest / 127.0f);
}

}  // namespace wenqu::engine::cuda
