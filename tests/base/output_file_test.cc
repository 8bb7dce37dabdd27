#include "base/output_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace wenqu {
namespace {

namespace fs = std::filesystem;

class OutputFileTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "wenqu_output_" + std::to_string(::getpid());
    fs::create_directories(directory_);
    path_ = directory_ + "/file";
  }
  void TearDown() override { fs::remove_all(directory_); }
  std::string content() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }
  std::string directory_, path_;
};

TEST_F(OutputFileTest, AppearsWholeUnderItsName) {
  auto file = OutputFile::create(path_);
  ASSERT_TRUE(file) << file.status().to_string();
  const std::string large(3 << 20, 'x');   // over the buffer
  ASSERT_TRUE(file->write("head"));
  ASSERT_TRUE(file->pad(8));
  EXPECT_EQ(file->size(), 8u);
  ASSERT_TRUE(file->write(large));
  ASSERT_TRUE(file->write("tail"));
  EXPECT_FALSE(fs::exists(path_));
  ASSERT_TRUE(file->finish());
  EXPECT_EQ(content(), std::string("head\0\0\0\0", 8) + large + "tail");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(OutputFileTest, LeavesTheFormerFileWhenItIsGivenUp) {
  std::ofstream(path_) << "former";
  {
    auto file = OutputFile::create(path_);
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->write("half"));
  }
  EXPECT_EQ(content(), "former");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(OutputFileTest, ReplacesTheFormerFileInOneStep) {
  std::ofstream(path_) << "former";
  auto file = OutputFile::create(path_);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->write("new"));
  EXPECT_EQ(content(), "former");
  ASSERT_TRUE(file->finish());
  EXPECT_EQ(content(), "new");
}

TEST_F(OutputFileTest, APipeIsWrittenAsItIsWhereThatIsWanted) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(OutputFile::create(path_).status().code(), StatusCode::invalid_argument);
  const int reader = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK);   // before the writer, who would wait for one
  ASSERT_GE(reader, 0);
  {
    auto file = OutputFile::create_or_open(path_);
    ASSERT_TRUE(file) << file.status().to_string();
    ASSERT_TRUE(file->write("piped"));
    char got[16] = "";
    EXPECT_EQ(::read(reader, got, sizeof got), 5) << "as it comes";
    EXPECT_STREQ(got, "piped");
    ASSERT_TRUE(file->finish());
  }
  ::close(reader);
  EXPECT_EQ(entries(), 1u);
  auto full = OutputFile::create_or_open("/dev/full");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->write("more").code(), StatusCode::io_error);
  EXPECT_EQ(OutputFile::create_or_open(directory_).status().code(), StatusCode::invalid_argument);
  fs::remove(path_);
  auto regular = OutputFile::create_or_open(path_);
  ASSERT_TRUE(regular && regular->write("new"));
  EXPECT_FALSE(fs::exists(path_));
  ASSERT_TRUE(regular->finish());
  EXPECT_EQ(content(), "new");
}

TEST_F(OutputFileTest, APlaceThatCannotBeWrittenIsAnErrorWithItsPath) {
  const Status missing = OutputFile::create(directory_ + "/none/file").status();
  EXPECT_EQ(missing.code(), StatusCode::not_found);
  EXPECT_NE(missing.where().find("/none/file"), std::string::npos);
  EXPECT_EQ(OutputFile::create(directory_).status().code(), StatusCode::invalid_argument);
  // A full disk.
  EXPECT_EQ(OutputFile::create("/dev/full").status().code(), StatusCode::invalid_argument);
}

}  // namespace
}  // namespace wenqu
