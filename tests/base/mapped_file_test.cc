#include "base/mapped_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace wenqu {
namespace {

class MappedFileTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "wenqu_mapped_" + std::to_string(::getpid());
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
};

TEST_F(MappedFileTest, ShowsTheBytesOfTheFile) {
  const std::string path = directory_ + "/f";
  std::ofstream(path) << "wenqu";
  auto file = MappedFile::open(path);
  ASSERT_TRUE(file) << file.status().to_string();
  ASSERT_EQ(file->size(), 5u);
  EXPECT_EQ(std::memcmp(file->data().data(), "wenqu", 5), 0);
}

TEST_F(MappedFileTest, AnEmptyFileHasNoBytes) {
  const std::string path = directory_ + "/empty";
  std::ofstream(path).flush();
  auto file = MappedFile::open(path);
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->data().empty());
}

TEST_F(MappedFileTest, WhatIsNotARegularFileIsRefusedWithoutHanging) {
  const std::string pipe = directory_ + "/pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(MappedFile::open(pipe).status().code(), StatusCode::invalid_argument);
  EXPECT_EQ(MappedFile::open(directory_).status().code(), StatusCode::invalid_argument);
  EXPECT_EQ(MappedFile::open("/dev/zero").status().code(), StatusCode::invalid_argument);
  EXPECT_EQ(MappedFile::open(directory_ + "/absent").status().code(), StatusCode::not_found);
}

}  // namespace
}  // namespace wenqu
