#include "retrieval/documents/child_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace wenqu::retrieval {
namespace {

class ChildProcess : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "wenqu_child_XXXXXX";
    file_ = ::mkstemp(path.data());
    ASSERT_GE(file_, 0);
    ::unlink(path.c_str());
    ASSERT_EQ(::write(file_, "the heron", 9), 9);
  }
  void TearDown() override { ::close(file_); }

  Result<std::string> shell(const std::string& script, const ChildLimits& limits = {}, const CancelToken& cancel = {}) {
    return run_child({"sh", "-c", script}, file_, limits, cancel);
  }

  int file_ = -1;
};

TEST_F(ChildProcess, ReadsTheFileFromItsBeginAndGivesTheOutput) {
  for (int i = 0; i < 2; ++i) {
    const auto got = shell("cat; echo noise >&2");
    ASSERT_TRUE(got) << got.status().to_string();
    EXPECT_EQ(*got, "the heron");
  }
}

TEST_F(ChildProcess, GetsNoEnvironmentButThePath) {
  ::setenv("WENQU_SECRET", "secret", 1);
  const auto got = shell("env");
  ASSERT_TRUE(got);
  EXPECT_EQ(got->find("secret"), std::string::npos);
  EXPECT_NE(got->find("PATH="), std::string::npos);
}

TEST_F(ChildProcess, GetsNoFileThatIsOpenHere) {
  const int kept = ::dup(file_);   // without close-on-exec
  ASSERT_GE(kept, 3);
  const auto got = shell("test -e /proc/self/fd/" + std::to_string(kept) + " && echo open || echo closed");
  ::close(kept);
  ASSERT_TRUE(got) << got.status().to_string();
  EXPECT_EQ(*got, "closed\n");
}

TEST_F(ChildProcess, FailuresAndCrashesAreErrors) {
  EXPECT_EQ(shell("echo half; exit 3").status().code(), StatusCode::corrupt);
  EXPECT_EQ(shell("kill -SEGV $$").status().code(), StatusCode::corrupt);
  EXPECT_EQ(run_child({"wenqu-no-such-program"}, file_, {}, {}).status().code(), StatusCode::not_found);
}

TEST_F(ChildProcess, OneThatGetsNowhereOrSleepsOrFloodsIsEnded) {
  ChildLimits limits;
  limits.silent_seconds = 0.2;
  EXPECT_EQ(shell("while :; do :; done", limits).status().code(), StatusCode::limit_exceeded);
  limits = {};
  limits.total_seconds = 0.2;
  EXPECT_EQ(shell("sleep 100", limits).status().code(), StatusCode::limit_exceeded);
  limits = {};
  limits.max_output_bytes = 1000;
  EXPECT_EQ(shell("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", limits).status().code(), StatusCode::limit_exceeded);
}

TEST_F(ChildProcess, CancellingEndsIt) {
  CancelSource source;
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    source.cancel();
  });
  EXPECT_EQ(shell("sleep 100", {}, source.token()).status().code(), StatusCode::cancelled);
  later.join();
}

}  // namespace
}  // namespace wenqu::retrieval
