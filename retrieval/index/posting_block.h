// Some postings of a list, read from the bytes that Lucene++ wrote.
//
// A posting is a number (twice the distance from the passage before, plus one where the frequency is one), then the
// frequency where it is not one; numbers are written in groups of seven bits, the lowest first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace wenqu::retrieval {

struct PostingBlock {
  static constexpr size_t kMost = 64;

  std::array<int32_t, kMost> docs;           // after the last, the greatest number there is
  std::array<uint32_t, kMost> frequencies;   // after the last, 1
  size_t size = 0;
};

// Reads `count` postings that follow passage `before` (-1: there is none) from [bytes, end). Gives where they end; null
// where they do not fit, or where a passage is not below `limit`. REQUIRES: count <= PostingBlock::kMost
const uint8_t* decode_postings(const uint8_t* bytes, const uint8_t* end, int32_t before, int32_t limit, size_t count,
                               PostingBlock& block);
// The same without instructions that not every processor has.
const uint8_t* decode_postings_portable(const uint8_t* bytes, const uint8_t* end, int32_t before, int32_t limit, size_t count,
                                        PostingBlock& block);

}  // namespace wenqu::retrieval
