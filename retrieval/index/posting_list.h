// The passages that hold a term, as Lucene++ wrote them, with a table of where in them what is found.
//
// Postings are cut into blocks of 64. Of each block the table keeps its last passage, where it ends, and the most
// that a posting of it can weigh; so a search skips blocks without reading them. The table is made when a list is
// first read, and is a tenth of the postings.
//
// A posting is a number (twice the distance from the passage before, plus one where the frequency is one), then the
// frequency where it is not one; numbers are written in groups of seven bits, the lowest first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace wenqu::retrieval {

// What the length of a passage adds to a term's frequency below the fraction of BM25, for each length code:
// k1 * (1 - b + b * length / average).
using LengthTable = std::array<float, 256>;

struct PostingList {
  static constexpr size_t kBlock = 64;             // postings of a block, but for the last
  static constexpr size_t kChunk = 128;            // blocks that are read at once
  static constexpr float kBoundUnit = 1.0f / 32768;

  uint32_t holders = 0;         // passages that hold the term, deleted ones included
  int64_t start = 0;            // where the first block begins in the segment's file
  std::vector<int32_t> last;    // the last passage of each block
  std::vector<uint32_t> end;    // where each block ends, from the start
  // In kBoundUnit, rounded up: at least frequency / (frequency + (*table)[length]) of every posting of the block.
  std::vector<uint16_t> bound;
  uint16_t greatest_bound = 0;
  std::shared_ptr<const LengthTable> table;

  size_t blocks() const { return last.size(); }
  size_t block_size(size_t block) const { return block + 1 < blocks() ? kBlock : holders - block * kBlock; }
  uint32_t block_begin(size_t block) const { return block == 0 ? 0 : end[block - 1]; }
  // The passage before the block's first; -1 where there is none.
  int32_t before(size_t block) const { return block == 0 ? -1 : last[block - 1]; }
};

// The postings of one block.
struct PostingBlock {
  std::array<int32_t, PostingList::kBlock> docs;  // after the last, the greatest number there is
  std::array<uint32_t, PostingList::kBlock> frequencies;
  size_t size = 0;
};

// Reads `count` postings that follow passage `before` from [bytes, end). Gives where they end; null where they do not
// fit, or where a passage is not below `limit`. REQUIRES: count <= kBlock
const uint8_t* decode_postings(const uint8_t* bytes, const uint8_t* end, int32_t before, int32_t limit, size_t count,
                               PostingBlock& block);

}  // namespace wenqu::retrieval
