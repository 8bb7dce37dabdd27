// The passages that hold a term, as Lucene++ wrote them, with a table of where in them what is found.
//
// Postings are cut into blocks of 64. Of each block the table keeps its last passage, where it ends, and the most
// that a posting of it can weigh; so a search skips blocks without reading them. The table is made when a list is
// first read, and is a tenth of the postings.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "retrieval/index/posting_block.h"

namespace wenqu::retrieval {

// What the length of a passage adds to a term's frequency below the fraction of BM25, for each length code:
// k1 * (1 - b + b * length / average).
using LengthTable = std::array<float, 256>;

struct PostingList {
  static constexpr size_t kBlock = PostingBlock::kMost;   // postings of a block, but for the last
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

}  // namespace wenqu::retrieval
