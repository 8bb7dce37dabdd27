// Which batches are recorded, and which are forgotten.
#include "engine/device/recordings.h"

#include <gtest/gtest.h>

#include "tests/engine/cuda/emulated_kernels.h"
#include "tests/engine/cuda/emulator.h"

namespace wenqu::test {
namespace {

using engine::device::Batch;
using engine::device::Recordings;

class RecordingsOfBatches : public testing::Test {
 protected:
  // A batch of its own kind for each number.
  void run(size_t kind, uint64_t moves = 0) {
    Batch batch;
    batch.tokens = kind;
    const Status status = recordings_.run(batch, moves, {}, [&] { return ++computed_, Status(); });
    EXPECT_TRUE(status) << status.to_string();
  }
  size_t recorded() const { return device_->recordings(); }

  std::shared_ptr<Emulator> device_ = std::make_shared<Emulator>(emulated_kernels(), size_t{1} << 20);
  Recordings recordings_{device_};
  size_t computed_ = 0;
};

TEST_F(RecordingsOfBatches, AreMadeOfWhatComesASecondTime) {
  run(1);
  EXPECT_EQ(recorded(), 0u);
  EXPECT_EQ(computed_, 1u);
  run(1);
  EXPECT_EQ(recorded(), 1u);
  run(1);
  EXPECT_EQ(recorded(), 1u);
  EXPECT_EQ(computed_, 2u);   // from then on it is launched whole
}

TEST_F(RecordingsOfBatches, ForgetWhatWasUnusedForTheLongestTime) {
  for (int i = 0; i < 2; ++i) run(0);
  for (size_t kind = 1; kind <= 2 * Recordings::kMost; ++kind) {
    for (int i = 0; i < 2; ++i) run(kind);
    run(0);
  }
  const size_t all = recorded();
  EXPECT_EQ(all, 2 * Recordings::kMost + 1);
  run(0);
  run(2 * Recordings::kMost);
  EXPECT_EQ(recorded(), all);
  for (int i = 0; i < 2; ++i) run(1);
  EXPECT_EQ(recorded(), all + 1);   // it had made room for others
}

TEST_F(RecordingsOfBatches, AreMadeAnewAtOnceWhenTheTablesHaveMoved) {
  for (int i = 0; i < 2; ++i) run(1);
  run(1, 1);
  EXPECT_EQ(recorded(), 2u);
  run(1, 1);
  EXPECT_EQ(recorded(), 2u);
}

TEST_F(RecordingsOfBatches, TellAttentionInOtherTurnsApart) {
  Batch batch;
  const auto run_it = [&] { EXPECT_TRUE(recordings_.run(batch, 0, {}, [] { return Status(); })); };
  batch.plan.turns = {{0, 4, 0, 4, 2}};
  for (int i = 0; i < 2; ++i) run_it();
  batch.plan.turns = {{0, 2, 0, 2, 2}, {2, 2, 2, 2, 2}};
  for (int i = 0; i < 2; ++i) run_it();
  EXPECT_EQ(recorded(), 2u);
}

}  // namespace
}  // namespace wenqu::test
