#include "retrieval/index/posting_block.h"

#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <random>
#include <tuple>
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
  for (uint32_t i = 0; i < PostingBlock::kMost; ++i) {
    if (i == place) write_posting(distance, frequency, bytes);
    else write_posting(1 + (1u << (i % 21)), i % 3 == 0 ? 1 : i * i * i, bytes);
  }
  return bytes;
}

constexpr int32_t kLimit = 1 << 30;

using Decode = decltype(&decode_postings);

// Where the block ends, -1 where it cannot be read. Nothing behind the bytes may be touched.
ptrdiff_t decode(Decode function, const std::vector<uint8_t>& bytes, int32_t before, int32_t limit, size_t count, PostingBlock& block) {
  const auto exact = std::make_unique<uint8_t[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), exact.get());
  const uint8_t* const end = function(exact.get(), exact.get() + bytes.size(), before, limit, count, block);
  return end ? end - exact.get() : -1;
}

class PostingBlockTest : public testing::TestWithParam<std::tuple<Decode, size_t>> {
 protected:
  // So many bytes follow the block.
  static ptrdiff_t read(std::vector<uint8_t> bytes, PostingBlock& block, int32_t limit = kLimit, int32_t before = 7) {
    const auto [function, room] = GetParam();
    bytes.resize(bytes.size() + room, 0xFF);
    return decode(function, bytes, before, limit, PostingBlock::kMost, block);
  }
};

TEST_P(PostingBlockTest, ABlockIsReadAsItWasWritten) {
  PostingBlock block;
  ASSERT_EQ(read(block_with(), block), static_cast<ptrdiff_t>(block_with().size()));
  int32_t doc = 7;
  for (uint32_t i = 0; i < PostingBlock::kMost; ++i) {
    doc += 1 + (1 << (i % 21));
    EXPECT_EQ(block.docs[i], doc);
    EXPECT_EQ(block.frequencies[i], i % 3 == 0 ? 1 : i * i * i);
  }
  EXPECT_EQ(block.size, PostingBlock::kMost);
  EXPECT_EQ(read(block_with(), block, doc + 1), static_cast<ptrdiff_t>(block_with().size()));
  EXPECT_EQ(read(block_with(), block, doc), -1);
}

TEST_P(PostingBlockTest, WhatCannotBeIsNotRead) {
  PostingBlock block;
  EXPECT_EQ(read(block_with(20, 0, 1), block), -1);    // the same passage again
  EXPECT_EQ(read(block_with(20, 1, 0), block), -1);    // held not once
  std::vector<uint8_t> cut = block_with();
  cut.back() = 0x80;                                    // 0xFF follows to the end
  EXPECT_EQ(read(cut, block), -1);
}

TEST_P(PostingBlockTest, OnlyTheFirstOfAllPassagesHasNoDistance) {
  PostingBlock block;
  ASSERT_GT(read(block_with(0, 0, 1), block, kLimit, -1), 0);
  EXPECT_EQ(block.docs[0], 0);
  EXPECT_EQ(block.docs[1], 3);
  EXPECT_EQ(read(block_with(0, 0, 1), block), -1);        // passage 7 once more
  EXPECT_EQ(read(block_with(1, 0, 1), block, kLimit, -1), -1);
}

TEST_P(PostingBlockTest, PassagesBeyondAllNumbersAreNotRead) {
  PostingBlock block;
  constexpr int32_t kAll = std::numeric_limits<int32_t>::max();
  EXPECT_EQ(read(block_with(63, kAll, 1), block, kAll), -1);
  EXPECT_EQ(read(block_with(5, kAll, 2), block, kAll), -1);
  EXPECT_EQ(read(block_with(0, 1, 1), block, kAll, kAll), -1);
}

INSTANTIATE_TEST_SUITE_P(, PostingBlockTest, testing::Combine(testing::Values(decode_postings, decode_postings_portable), testing::Values(0, 1000)));

// Numbers of all lengths mixed, and now and then one that cannot be or a byte that was changed.
std::vector<uint8_t> random_block(size_t count, std::mt19937& random) {
  const auto below = [&](uint32_t limit) { return std::uniform_int_distribution<uint32_t>(0, limit - 1)(random); };
  const uint32_t length = 1u << (1 + below(26)), ones = below(101), most = 2 + below(300);
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < count; ++i) write_posting(1 + below(length), below(100) < ones ? 1 : 2 + below(most), bytes);
  if (below(4) == 0) write_posting(0, below(3), bytes);
  if (below(3) == 0) bytes[below(static_cast<uint32_t>(bytes.size()))] = static_cast<uint8_t>(below(256));
  if (below(3) == 0) bytes.resize(below(static_cast<uint32_t>(bytes.size()) + 1));
  if (below(2) == 0) bytes.resize(bytes.size() + below(700), static_cast<uint8_t>(below(256)));
  return bytes;
}

TEST(PostingBlock, IsReadTheSameOnAllProcessors) {
  std::mt19937 random(20261129);
  for (int round = 0; round < 20'000; ++round) {
    const size_t count = 1 + random() % PostingBlock::kMost;
    const std::vector<uint8_t> bytes = random_block(count, random);
    const int32_t before = random() % 3 == 0 ? -1 : static_cast<int32_t>(random() % 1000);
    const int32_t limit = random() % 2 ? kLimit : static_cast<int32_t>(random() % 100'000);
    PostingBlock a, b;
    const ptrdiff_t end = decode(decode_postings_portable, bytes, before, limit, count, a);
    ASSERT_EQ(decode(decode_postings, bytes, before, limit, count, b), end) << "round " << round;
    if (end < 0) continue;
    ASSERT_EQ(b.docs, a.docs) << "round " << round;
    ASSERT_EQ(b.frequencies, a.frequencies) << "round " << round;
    ASSERT_EQ(b.size, count);
  }
}

}  // namespace
}  // namespace wenqu::retrieval
