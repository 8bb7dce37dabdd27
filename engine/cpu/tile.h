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

#include "engine/cpu/avx2.h"

namespace wenqu::engine::cpu {
namespace {

constexpr size_t kTileRows = 16, kTileColumns = 256;

struct Tile {
  alignas(64) uint8_t w[kTileColumns / 4][kTileRows][4];      // [column / 4][row][column % 4]
  // Pairs of 16-bit numbers. Blocks of 256 only.
  alignas(64) int16_t scales[16][kTileRows][2];               // [sub-block of 16][row]: the scale, twice or in 32 bits
  alignas(64) int16_t sums[8][kTileRows][2];                  // [two sub-blocks of 16][row]: what their sums of x count for
  // Of a block of 256 [0], or of blocks of 32.
  alignas(64) float d[8][kTileRows], m[8][kTileRows];
};

// Eight rows' 32 bytes become groups of four of all eight.
__attribute__((always_inline)) inline void interleave_eight(__m256i (&v)[8]) {
  __m256i u[8];
  for (size_t i = 0; i < 8; i += 2) {
    u[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
    u[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
  }
  __m256i w[8];
  for (size_t i = 0; i < 8; i += 4) {
    w[i] = _mm256_unpacklo_epi64(u[i], u[i + 2]);
    w[i + 1] = _mm256_unpackhi_epi64(u[i], u[i + 2]);
    w[i + 2] = _mm256_unpacklo_epi64(u[i + 1], u[i + 3]);
    w[i + 3] = _mm256_unpackhi_epi64(u[i + 1], u[i + 3]);
  }
  for (size_t i = 0; i < 4; ++i) {
    v[i] = _mm256_permute2x128_si256(w[i], w[i + 4], 0x20);
    v[i + 4] = _mm256_permute2x128_si256(w[i], w[i + 4], 0x31);
  }
}

// The tile's rows of `bytes` bytes each, a multiple of 32 of the kTileColumns.
template <size_t kStride, typename Out>
inline void interleave(const void* rows, size_t bytes, Out& out) {
  for (size_t at = 0; at < bytes; at += 32)
    for (size_t half = 0; half < kTileRows; half += 8) {
      __m256i v[8];
      for (size_t r = 0; r < 8; ++r) v[r] = load(static_cast<const std::byte*>(rows) + (half + r) * kStride + at);
      interleave_eight(v);
      for (size_t i = 0; i < 8; ++i) _mm256_store_si256(reinterpret_cast<__m256i*>(out[at / 4 + i][half]), v[i]);
    }
}

// The same columns of the rows that the next tile takes, while there is still this one to do.
template <size_t kBytes>
__attribute__((always_inline)) inline void prefetch_next_rows(const std::byte* columns, size_t row_bytes) {
  prefetch<kBytes>(columns + kTileRows * row_bytes);
}

// Scaling is how an instruction set reads signed weights (bytes): as they are, or 128 above their values; and scales: of
// pairs in 32 bits, the first and the second (first, second).
template <class Scaling, class Weights>
void unpack_256(const std::byte* rows, size_t row_bytes, size_t count, Tile& tile) {
  alignas(64) uint8_t bytes[kTileRows][kTileColumns];
  alignas(64) int16_t scales[kTileRows][16], sums[kTileRows][16];
  for (size_t r = 0; r < kTileRows; ++r) {
    const std::byte* block = rows + (r < count ? r : count - 1) * row_bytes;
    prefetch_next_rows<Weights::kBytes>(block, row_bytes);
    const Weights weights(block);
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) _mm256_store_si256(reinterpret_cast<__m256i*>(bytes[r] + g * 32), Scaling::template bytes<Weights>(weights.weights(g)));
    _mm256_store_si256(reinterpret_cast<__m256i*>(scales[r]), weights.scales);
    if constexpr (Weights::kMinima)
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums[r]), weights.minima);
    else
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums[r]), _mm256_slli_epi16(weights.scales, Scaling::template offset_bits<Weights>()));
    tile.d[0][r] = _cvtsh_ss(load16(block + Weights::kScale));
    if constexpr (Weights::kMinima) tile.m[0][r] = _cvtsh_ss(load16(block + Weights::kScale + 2));
  }
  interleave<kTileColumns>(bytes, kTileColumns, tile.w);
  interleave<sizeof(sums[0])>(sums, sizeof(sums[0]), tile.sums);
  alignas(64) int16_t pairs[8][kTileRows][2];   // as in sum256: those of sub-blocks 0 and 2, 4 and 6, ... 1 and 3, ...
  interleave<sizeof(scales[0])>(scales, sizeof(scales[0]), pairs);
  for (size_t i = 0; i < 8; ++i)
    for (size_t half = 0; half < 2; ++half) {
      const __m256i two = load(pairs[i][half * 8]);
      const size_t first = i % 4 * 4 + i / 4;
      _mm256_store_si256(reinterpret_cast<__m256i*>(tile.scales[first][half * 8]), Scaling::first(two));
      _mm256_store_si256(reinterpret_cast<__m256i*>(tile.scales[first + 2][half * 8]), Scaling::second(two));
    }
}

template <class Scaling, class Weights>
void unpack_32(const std::byte* rows, size_t row_bytes, size_t count, size_t blocks, Tile& tile) {
  alignas(64) uint8_t bytes[kTileRows][kTileColumns];
  for (size_t r = 0; r < kTileRows; ++r) {
    const std::byte* row = rows + (r < count ? r : count - 1) * row_bytes;
    prefetch_next_rows<8 * Weights::kBytes>(row, row_bytes);
    for (size_t b = 0; b < blocks; ++b) {
      const std::byte* block = row + b * Weights::kBytes;
      _mm256_store_si256(reinterpret_cast<__m256i*>(bytes[r] + b * 32), Scaling::template bytes<Weights>(Weights::weights(block)));
      tile.d[b][r] = _cvtsh_ss(load16(block));
      if constexpr (Weights::kMinimum) tile.m[b][r] = _cvtsh_ss(load16(block + 2));
    }
  }
  interleave<kTileColumns>(bytes, blocks * 32, tile.w);
}

// use(blocks, bytes from one row to the next) of a tile's rows, from block `first` on as many as wanted: where they are or, if they lie
// side by side, taken apart.
template <class Weights, size_t kMost, typename Use>
void with_plain_rows(const DotRows& args, const std::byte* rows, size_t count, size_t first, size_t blocks, const Use& use) {
  constexpr size_t kBytes = Weights::kBytes;
  if constexpr (kHasCut<Weights>)
    if (args.interleaved) {
      alignas(64) std::byte plain[kTileRows][kMost * kBytes];
      for (size_t r = 0; r < count; r += kInterleavedRows) {
        const std::byte* column = rows + r * args.row_bytes + first * kBytes * kInterleavedRows;
        for (size_t b = 0; b < blocks; ++b, column += kBytes * kInterleavedRows) {
          prefetch<kBytes * kInterleavedRows>(column + kTileRows * args.row_bytes);
          separate_blocks(Weights::kCut, column, plain[r] + b * kBytes, sizeof(plain[0]));
        }
      }
      return use(plain[0], sizeof(plain[0]));
    }
  use(rows + first * kBytes, args.row_bytes);
}

constexpr size_t kMostSums = 32768;   // of tokens with rows that go together: 128 KiB of the stack

// What the tokens have of a tile's rows so far; a token's sums lie kStride apart from the next one's.
template <size_t kStride>
struct Sums {
  float* first;
  float* operator[](size_t token) const { return first + token * kStride; }
  Sums operator+(size_t tokens) const { return {first + tokens * kStride}; }
};

// How many tiles are unpacked at a time; of these, how many a token meets at once; and how many tokens, whose inputs of the
// column stay in the first cache, meet them all before the next ones do.
struct Grouping {
  size_t tiles, besides, tokens;
};

// unpack(rows, count, block column, tile), prepare(block column, inputs, tokens) and multiply(tiles, block column, what
// prepare gave, tokens, sums) for all columns.
template <Grouping kGrouping, class AnyTile, typename Unpack, typename Prepare, typename Multiply>
void many_tokens(const DotRows& args, size_t columns, const Unpack& unpack, const Prepare& prepare, const Multiply& multiply) {
  constexpr size_t kTiles = kGrouping.tiles, kStep = kGrouping.besides * kTileRows, kTogether = kGrouping.tokens;
  static_assert(kTiles % kGrouping.besides == 0);
  constexpr size_t kRows = kTiles * kTileRows, kMostTokens = kMostSums / kRows;
  AnyTile tiles[kTiles];
  alignas(64) float sums[kMostTokens][kRows];
  for (size_t token = 0; token < args.tokens; token += kMostTokens) {
    const size_t tokens = args.tokens - token < kMostTokens ? args.tokens - token : kMostTokens;
    const InputRow* inputs = args.inputs + token;
    for (size_t r = 0; r < args.rows; r += kRows) {
      const size_t rows = args.rows - r < kRows ? args.rows - r : kRows;
      std::memset(sums, 0, tokens * sizeof(sums[0]));
      for (size_t column = 0; column < columns; ++column) {
        for (size_t at = 0; at < rows + kStep - kTileRows && at < kRows; at += kTileRows) {
          const size_t from = at < rows ? at : at - kTileRows;   // the last tile stands for one that lacks
          unpack(args.weights + (r + from) * args.row_bytes, rows - from < kTileRows ? rows - from : kTileRows, column, tiles[at / kTileRows]);
        }
        for (size_t t = 0; t < tokens; t += kTogether) {
          const size_t together = tokens - t < kTogether ? tokens - t : kTogether;
          const auto* const prepared = prepare(column, inputs + t, together);
          for (size_t at = 0; at < rows; at += kStep) multiply(tiles + at / kTileRows, column, prepared, together, Sums<kRows>{sums[t] + at});
        }
      }
      for (size_t t = 0; t < tokens; ++t) std::memcpy(args.outputs[token + t] + args.first + r, sums[t], rows * sizeof(float));
    }
  }
}

// The columns of tiles that a row of n values has, and the blocks of 32 in one of them.
inline size_t tile_columns(size_t n) { return (n + kTileColumns - 1) / kTileColumns; }
inline size_t blocks_of_32(size_t n, size_t column) { return n / 32 - column * 8 < 8 ? n / 32 - column * 8 : 8; }

// use(bytes from one row to the next) of a column of either block size, as above.
template <class Weights, typename Use>
void with_plain_column(const DotRows& args, const std::byte* rows, size_t count, size_t column, const Use& use) {
  if constexpr (kOfBlocks256<Weights>) with_plain_rows<Weights, 1>(args, rows, count, column, 1, use);
  else with_plain_rows<Weights, 8>(args, rows, count, column * 8, blocks_of_32(args.n, column), use);
}

template <class Scaling, class Weights>
void unpack_column(const DotRows& args, const std::byte* rows, size_t count, size_t column, Tile& tile) {
  with_plain_column<Weights>(args, rows, count, column, [&](const std::byte* plain, size_t row_bytes) {
    if constexpr (kOfBlocks256<Weights>) unpack_256<Scaling, Weights>(plain, row_bytes, count, tile);
    else unpack_32<Scaling, Weights>(plain, row_bytes, count, blocks_of_32(args.n, column), tile);
  });
}

// The same for inputs as they are; multiply(tiles, first block, blocks, inputs, tokens, sums).
template <class Scaling, class Weights, Grouping kGrouping, typename Multiply>
void many_tokens(const DotRows& args, const Multiply& multiply) {
  many_tokens<kGrouping, Tile>(
      args, tile_columns(args.n),
      [&](const std::byte* rows, size_t count, size_t column, Tile& tile) { unpack_column<Scaling, Weights>(args, rows, count, column, tile); },
      [](size_t, const InputRow* inputs, size_t) { return inputs; },
      [&](const Tile* tiles, size_t column, const InputRow* inputs, size_t tokens, auto sums) {
        if constexpr (kOfBlocks256<Weights>) multiply(tiles, column, 1, inputs, tokens, sums);
        else multiply(tiles, column * 8, blocks_of_32(args.n, column), inputs, tokens, sums);
      });
}

}  // namespace
}  // namespace wenqu::engine::cpu
