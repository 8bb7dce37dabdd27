// What the durability gates share: how much of them is run, where, and the line each leaves behind.
//
// The short form runs with every change; WENQU_GATES=long in the environment asks for the long one, and WENQU_GATE_SEED=N
// for other cases than usual.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>

#include "test_folder.h"
#include "tests/support/rounds.h"

namespace wenqu::retrieval {

inline bool long_form() {
  const char* form = ::getenv("WENQU_GATES");
  return form && std::strcmp(form, "long") == 0;
}

inline int repetitions(int short_form, int long_form_count) {
  return long_form() ? long_form_count : test::rounds(short_form);
}

// What cases are drawn by, in the place of a number of the gate's own.
inline unsigned gate_seed(unsigned usual) {
  const char* other = ::getenv("WENQU_GATE_SEED");
  return usual + (other ? static_cast<unsigned>(std::strtoul(other, nullptr, 10)) : 0);
}

// Counts cases and bad ones, and tells both in one line: `RELIABILITY id=D7 n=1000 bad=0 sec=12.3`.
class Gate {
 public:
  explicit Gate(std::string id) : id_(std::move(id)) {}
  ~Gate() {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begun_;
    std::printf("RELIABILITY id=%s n=%d bad=%d sec=%.1f%s\n", id_.c_str(), cases_, bad_, spent.count(), more_.c_str());
    std::fflush(stdout);
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // One case; an empty `problem` is a good one.
  void count(const std::string& problem) {
    ++cases_;
    if (problem.empty()) return;
    if (++bad_ <= 5) ADD_FAILURE() << id_ << " case " << cases_ << ": " << problem;
  }
  void add_figure(const std::string& name, const std::string& value) { more_ += " " + name + "=" + value; }
  int cases() const { return cases_; }
  int bad() const { return bad_; }

 private:
  std::string id_;
  std::string more_;
  int cases_ = 0;
  int bad_ = 0;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

// A folder of its own for each test.
class GateTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = make_test_folder();
    ASSERT_FALSE(root_.empty());
    directory_ = root_ + "/index";
  }
  void TearDown() override {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }

  std::string root_;
  std::string directory_;
};

}  // namespace wenqu::retrieval
