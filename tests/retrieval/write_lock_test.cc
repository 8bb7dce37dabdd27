#include "retrieval/store/write_lock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "test_folder.h"

namespace wenqu::retrieval {
namespace {

class WriteLockTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = make_test_folder();
    ASSERT_FALSE(folder_.empty());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Result<WriteLock> acquire() { return WriteLock::acquire(folder_, folder_ + "/lock"); }

  std::string folder_;
};

TEST_F(WriteLockTest, IsGivenBackThoughAForkedChildLivesOn) {
  auto lock = acquire();
  ASSERT_TRUE(lock) << lock.status().to_string();
  std::optional<WriteLock> held = std::move(*lock);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {   // until its parent closes the other end
    ::close(ends[1]);
    char byte;
    (void)!::read(ends[0], &byte, 1);
    _exit(0);
  }
  held.reset();
  EXPECT_TRUE(acquire());
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
}

TEST_F(WriteLockTest, StaysWhereItWasTakenThoughAForkedChildClosesIt) {
  auto lock = acquire();
  ASSERT_TRUE(lock) << lock.status().to_string();
  std::optional<WriteLock> held = std::move(*lock);
  const pid_t child = ::fork();
  if (child == 0) {
    held.reset();
    _exit(0);
  }
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(acquire().status().code(), StatusCode::busy);
}

}  // namespace
}  // namespace wenqu::retrieval
