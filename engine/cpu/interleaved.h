// Eight rows of a quantized matrix side by side, for kernels that compute eight rows at once.
//
// The blocks that the rows have in one column are cut into words of eight bytes, and each word of all eight rows lies
// together: 64 bytes, in the order of kPlaces. What a block has before its words (Q8_0's scale) or behind them (Q6_K's)
// lies so too, in the order of the rows. No bit is changed, and eight rows take as many bytes as before.
//
// The functions have internal linkage on purpose: files compiled for different instruction sets must not share one copy.
#pragma once

#include <cstddef>
#include <cstring>

#include "engine/gguf/type.h"

namespace wenqu::engine::cpu {

constexpr size_t kInterleavedRows = 8;
// Where a row's words lie: as horizontal additions of the two halves' sums bring the rows back into their order.
constexpr size_t kPlaces[kInterleavedRows] = {0, 1, 4, 5, 2, 3, 6, 7};

// How a type's block is cut: pieces of so many bytes before its words, the words, and bytes behind them.
struct Cut {
  size_t first = 0, second = 0;
  size_t words = 0;
  size_t behind = 0;
  constexpr size_t before() const { return first + second; }
  constexpr size_t bytes() const { return before() + words * 8 + behind; }
};

// No words: rows of the type stay as they are.
constexpr Cut cut_of(gguf::Type type) {
  switch (type) {
    case gguf::Type::q8_0: return {.first = 2, .words = 4};
    case gguf::Type::q4_0:
    case gguf::Type::iq4_nl: return {.first = 2, .words = 2};
    case gguf::Type::q4_1: return {.first = 4, .words = 2};
    case gguf::Type::q5_1: return {.words = 3};
    case gguf::Type::q5_0: return {.first = 2, .second = 4, .words = 2};
    case gguf::Type::q4_k: return {.words = 18};
    case gguf::Type::q5_k: return {.words = 22};
    case gguf::Type::q6_k: return {.words = 26, .behind = 2};
    case gguf::Type::iq4_xs: return {.words = 17};
    default: return {};
  }
}
constexpr bool can_interleave(gguf::Type type, size_t rows) { return cut_of(type).words > 0 && rows % kInterleavedRows == 0; }

// move(where a piece of row r lies in its block, where in the column of the eight rows' blocks, its bytes) for all its pieces.
template <typename Move>
static inline void each_piece(const Cut& cut, size_t r, const Move& move) {
  const auto in_order = [&](size_t at, size_t bytes) { move(at, at * kInterleavedRows + r * bytes, bytes); };
  in_order(0, cut.first);
  in_order(cut.first, cut.second);
  for (size_t at = cut.before(); at < cut.before() + cut.words * 8; at += 8) move(at, at * kInterleavedRows + kPlaces[r] * 8, size_t{8});
  in_order(cut.before() + cut.words * 8, cut.behind);
}

// The column of blocks of eight rows that lie row_bytes apart, and back.
static inline void interleave_blocks(const Cut& cut, const std::byte* rows, size_t row_bytes, std::byte* column) {
  for (size_t r = 0; r < kInterleavedRows; ++r, rows += row_bytes)
    each_piece(cut, r, [&](size_t from, size_t to, size_t bytes) { std::memcpy(column + to, rows + from, bytes); });
}
static inline void separate_blocks(const Cut& cut, const std::byte* column, std::byte* rows, size_t row_bytes) {
  for (size_t r = 0; r < kInterleavedRows; ++r, rows += row_bytes)
    each_piece(cut, r, [&](size_t to, size_t from, size_t bytes) { std::memcpy(rows + to, column + from, bytes); });
}

// Rows that lie one after the other, and as many bytes to write to. REQUIRES: can_interleave(type, rows).
static inline void interleave_rows(gguf::Type type, const std::byte* from, size_t rows, size_t row_bytes, std::byte* to) {
  const Cut cut = cut_of(type);
  for (size_t r = 0; r < rows; r += kInterleavedRows)
    for (size_t at = 0; at < row_bytes; at += cut.bytes())
      interleave_blocks(cut, from + r * row_bytes + at, row_bytes, to + r * row_bytes + at * kInterleavedRows);
}

// Row `row` of eight, as it lay before. REQUIRES: row < 8.
static inline void copy_row(gguf::Type type, const std::byte* eight, size_t row, size_t row_bytes, std::byte* to) {
  const Cut cut = cut_of(type);
  for (size_t at = 0; at < row_bytes; at += cut.bytes())
    each_piece(cut, row, [&](size_t in_block, size_t in_column, size_t bytes) {
      std::memcpy(to + at + in_block, eight + at * kInterleavedRows + in_column, bytes);
    });
}

}  // namespace wenqu::engine::cpu
