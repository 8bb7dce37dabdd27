// A block column of sixteen rows of a quantized matrix, unpacked once for all tokens that it meets: 256
// weights of each row as bytes, in the order in which vector instructions take them, with their scales.
//
// What a block of 256 gives: d * products - dmin * minus, where
//   products = sum over sub-blocks of scale * dot(w, x), less offset * scale * sum(x) for weights that stand
//   `offset` above their values, and minus = sum over sub-blocks of minimum * sum(x).
// A block of 32 gives d * dot(w, x) + m * sum(x), with the same offset.
//
// Everything here has internal linkage: files of different instruction sets must not share one copy.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wenqu::engine::cpu {
namespace {

constexpr size_t kTileRows = 16, kTileColumns = 256;

struct Tile {
  alignas(64) uint8_t w[kTileColumns / 4][kTileRows][4];      // [column / 4][row][column % 4]
  // Pairs of 16-bit numbers. Blocks of 256 only.
  alignas(64) int16_t scales[16][kTileRows][2];               // [sub-block of 16][row]: the scale twice
  alignas(64) int16_t sums[8][kTileRows][2];                  // [two sub-blocks of 16][row]: what their sums of x count for
  // Of a block of 256 [0], or of blocks of 32.
  alignas(64) float d[8][kTileRows], m[8][kTileRows];
};

}  // namespace
}  // namespace wenqu::engine::cpu
