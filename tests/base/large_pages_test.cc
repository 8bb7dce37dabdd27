#include "base/large_pages.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>

namespace wenqu {
namespace {

TEST(LargePages, AreZeroesThatCanBeWrittenAndMoved) {
  Result<LargePages> made = LargePages::allocate(5 << 20);
  ASSERT_TRUE(made) << made.status().to_string();
  LargePages pages = std::move(*made);
  ASSERT_EQ(pages.size(), size_t{5} << 20);
  EXPECT_EQ(pages.data()[(5 << 20) - 1], std::byte{0});
  pages.data()[12345] = std::byte{7};
  LargePages other;
  other = std::move(pages);
  EXPECT_EQ(other.data()[12345], std::byte{7});
  EXPECT_EQ(LargePages::allocate(0)->data(), nullptr);
}

TEST(LargePages, MoreThanTheSystemHasIsAnError) {
  const Status status = LargePages::allocate(SIZE_MAX / 4).status();
  EXPECT_EQ(status.code(), StatusCode::out_of_memory);
  EXPECT_NE(status.message().find("MiB"), std::string::npos);
}

}  // namespace
}  // namespace wenqu
