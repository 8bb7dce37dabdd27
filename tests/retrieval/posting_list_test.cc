#include "retrieval/index/posting_list.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace wenqu::retrieval {
namespace {

void write_number(uint32_t value, std::vector<uint8_t>& bytes) {
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<uint8_t>(value | 0x80));
  bytes.push_back(static_cast<uint8_t>(value));
}

void write_posting(uint32_t distance, uint32_t frequency, std::vector<uint8_t>& bytes) {
  write_number(distance * 2 + (frequency == 1), bytes);
  if (frequency != 1) write_number(frequency, bytes);
}

// A whole block of numbers of one byte to four; one posting may be another.
std::vector<uint8_t> block_with(size_t place = 64, uint32_t distance = 0, uint32_t frequency = 0) {
  std::vector<uint8_t> bytes;
  for (uint32_t i = 0; i < PostingList::kBlock; ++i) {
    if (i == place) write_posting(distance, frequency, bytes);
    else write_posting(1 + (1u << (i % 21)), i % 3 == 0 ? 1 : i * i * i, bytes);
  }
  return bytes;
}

constexpr int32_t kLimit = 1 << 30;

class PostingListTest : public testing::TestWithParam<size_t> {
 protected:
  // Where the block ends, -1 where it cannot be read; so many bytes follow it.
  static ptrdiff_t read(std::vector<uint8_t> bytes, PostingBlock& block, int32_t limit = kLimit, int32_t before = 7) {
    bytes.resize(bytes.size() + GetParam(), 0xFF);
    const uint8_t* const end = decode_postings(bytes.data(), bytes.data() + bytes.size(), before, limit, PostingList::kBlock, block);
    return end ? end - bytes.data() : -1;
  }
};

TEST_P(PostingListTest, ABlockIsReadAsItWasWritten) {
  PostingBlock block;
  ASSERT_EQ(read(block_with(), block), static_cast<ptrdiff_t>(block_with().size()));
  int32_t doc = 7;
  for (uint32_t i = 0; i < PostingList::kBlock; ++i) {
    doc += 1 + (1 << (i % 21));
    EXPECT_EQ(block.docs[i], doc);
    EXPECT_EQ(block.frequencies[i], i % 3 == 0 ? 1 : i * i * i);
  }
  EXPECT_EQ(block.size, PostingList::kBlock);
  EXPECT_EQ(read(block_with(), block, doc + 1), static_cast<ptrdiff_t>(block_with().size()));
  EXPECT_EQ(read(block_with(), block, doc), -1);
}

TEST_P(PostingListTest, WhatCannotBeIsNotRead) {
  PostingBlock block;
  EXPECT_EQ(read(block_with(20, 0, 1), block), -1);    // the same passage again
  EXPECT_EQ(read(block_with(20, 1, 0), block), -1);    // held not once
  std::vector<uint8_t> cut = block_with();
  cut.back() = 0x80;                                    // 0xFF follows to the end
  EXPECT_EQ(read(cut, block), -1);
}

TEST_P(PostingListTest, OnlyTheFirstOfAllPassagesHasNoDistance) {
  PostingBlock block;
  ASSERT_GT(read(block_with(0, 0, 1), block, kLimit, -1), 0);
  EXPECT_EQ(block.docs[0], 0);
  EXPECT_EQ(block.docs[1], 3);
  EXPECT_EQ(read(block_with(0, 0, 1), block), -1);        // passage 7 once more
  EXPECT_EQ(read(block_with(1, 0, 1), block, kLimit, -1), -1);
}

TEST_P(PostingListTest, PassagesBeyondAllNumbersAreNotRead) {
  PostingBlock block;
  constexpr int32_t kAll = std::numeric_limits<int32_t>::max();
  EXPECT_EQ(read(block_with(63, kAll, 1), block, kAll), -1);
  EXPECT_EQ(read(block_with(5, kAll, 2), block, kAll), -1);
  EXPECT_EQ(read(block_with(0, 1, 1), block, kAll, kAll), -1);
}

// The careful way, and the one that takes room for granted.
INSTANTIATE_TEST_SUITE_P(, PostingListTest, testing::Values(0, 1000));

}  // namespace
}  // namespace wenqu::retrieval
