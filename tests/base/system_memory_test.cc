#include "base/system_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace wenqu::test {
namespace {

class GroupMemory : public testing::Test {
 protected:
  void SetUp() override { root_ = testing::TempDir() + "wenqu_groups_" + std::to_string(::getpid()); }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void group(const std::string& path, const std::string& limit, const std::string& held, const std::string& stat = "") {
    std::filesystem::create_directories(root_ + path);
    std::ofstream(root_ + path + "/memory.max") << limit << "\n";
    std::ofstream(root_ + path + "/memory.current") << held << "\n";
    std::ofstream(root_ + path + "/memory.stat") << stat;
  }
  std::string root_;
};

TEST_F(GroupMemory, IsTheLimitLessWhatIsHeldButForFiles) {
  group("/a", "1000", "700", "anon 300\nfile 400\ninactive_file 250\nactive_file 150\n");
  EXPECT_EQ(memory_left_of_group(root_, "/a"), 700u);
}

TEST_F(GroupMemory, IsTheLeastOfAllGroupsAbove) {
  group("", "max", "5");
  group("/a", "500", "450");
  group("/a/b", "1000", "100");
  group("/a/b/c", "max", "100");
  EXPECT_EQ(memory_left_of_group(root_, "/a/b/c"), 50u);
  group("/a", "max", "450");
  EXPECT_EQ(memory_left_of_group(root_, "/a/b/c"), 900u);
}

TEST_F(GroupMemory, IsNothingWhereMoreIsHeldAndUnlimitedWhereNobodySays) {
  group("/a", "100", "450");
  EXPECT_EQ(memory_left_of_group(root_, "/a"), 0u);
  EXPECT_EQ(memory_left_of_group(root_, "/nowhere"), UINT64_MAX);
  EXPECT_EQ(memory_left_of_group(root_, ""), UINT64_MAX);
}

TEST(AvailableMemory, IsKnownOnLinux) { EXPECT_GT(available_memory(), 0u); }

}  // namespace
}  // namespace wenqu::test
