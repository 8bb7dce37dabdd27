#include "engine/batch_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <thread>

#include "engine/generate.h"
#include "tests/engine/model_fixture.h"

namespace wenqu::engine {
namespace {

using namespace std::chrono_literals;
using Sizes = std::vector<size_t>;

// A queue over a model that only takes time, and what it was given: the sizes of each batch's sequences.
class BatchQueueTest : public testing::Test {
 protected:
  Status model(std::span<const Sequence> batch, const CancelToken& cancel) {
    Sizes sizes;
    for (const Sequence& sequence : batch) {
      sizes.push_back(sequence.tokens.size());
      if (sequence.tokens[0] == kTooLarge) throw std::bad_alloc();
    }
    {
      const std::lock_guard lock(mutex_);
      batches_.push_back(sizes);
    }
    for (size_t size : sizes) std::this_thread::sleep_for(per_token_ * static_cast<int>(size));
    for (const Sequence& sequence : batch)
      if (sequence.logits) sequence.logits->push_back(static_cast<float>(sequence.position));
    return cancel.status();
  }
  Status read(const void* session, std::span<const TokenId> tokens, const CancelToken& cancel = {}, std::vector<float>* logits = nullptr,
              const BatchQueue::Progress& progress = {}) {
    return queue_.read({session, {.tokens = tokens, .logits = logits}}, cancel, progress);
  }
  std::vector<Sizes> batches() {
    const std::lock_guard lock(mutex_);
    return batches_;
  }

  static constexpr TokenId kTooLarge = 99;
  const std::vector<TokenId> one_ = {1};
  std::chrono::microseconds per_token_{0};
  std::mutex mutex_;
  std::vector<Sizes> batches_;
  // Patient, so that a thread that the system keeps waiting does not matter.
  BatchQueue queue_{[this](std::span<const Sequence> batch, const CancelToken& cancel) { return model(batch, cancel); }, {.gather = 500ms}};
};

TEST_F(BatchQueueTest, ASessionAloneGetsTheLargestPiecesInOrder) {
  const std::vector<TokenId> tokens(1300, 1);
  std::vector<size_t> told;
  ASSERT_TRUE(read(this, tokens, {}, nullptr, [&](size_t done) { told.push_back(done); }));
  EXPECT_EQ(batches(), (std::vector<Sizes>{{512}, {512}, {276}}));
  EXPECT_EQ(told, (std::vector<size_t>{512, 1024}));
  ASSERT_TRUE(read(this, {}));
  EXPECT_EQ(batches().size(), 3u);
}

TEST_F(BatchQueueTest, SessionsThatDecodeShareTheirBatches) {
  constexpr int kSessions = 4, kSteps = 60;
  per_token_ = 300us;
  std::vector<std::thread> threads;
  for (int s = 0; s < kSessions; ++s)
    threads.emplace_back([&] {
      int session;
      for (int step = 0; step < kSteps; ++step) EXPECT_TRUE(read(&session, one_));
      queue_.leave(&session);
    });
  for (std::thread& thread : threads) thread.join();
  size_t tokens = 0;
  for (const Sizes& sizes : batches()) tokens += sizes.size();
  EXPECT_EQ(tokens, size_t{kSessions * kSteps});
  EXPECT_LT(batches().size(), size_t{kSessions * kSteps * 2 / 3});
}

TEST_F(BatchQueueTest, ALongPromptIsReadInPiecesBesideThoseWhoDecode) {
  per_token_ = 500us;   // a piece may cost 100 ms: 200 tokens, were the clock exact
  std::atomic<bool> over{false};
  std::thread decoding([&] {
    int session;
    while (!over) EXPECT_TRUE(read(&session, one_));
    queue_.leave(&session);
  });
  while (batches().size() < 5) std::this_thread::yield();
  const std::vector<TokenId> prompt(1000, 1);
  EXPECT_TRUE(read(this, prompt));
  over = true;
  decoding.join();
  size_t read_tokens = 0, beside = 0;
  for (const Sizes& sizes : batches())
    for (size_t size : sizes) {
      EXPECT_LE(size, 210u);
      if (size > 8) read_tokens += size, beside += sizes.size() > 1;
    }
  // What is left for a last piece may be so short that it looks like decoding.
  EXPECT_GE(read_tokens, 1000u - 8);
  EXPECT_LE(read_tokens, 1000u);
  EXPECT_GE(beside, 3u) << "pieces are read together with what decodes";
}

TEST_F(BatchQueueTest, CountsThoseWhoDecode) {
  int first, second;
  const std::vector<TokenId> prompt(100, 1);
  EXPECT_TRUE(read(&second, prompt));
  EXPECT_EQ(queue_.decoding(), 0u) << "who reads a prompt does not decode";
  // Whoever is held up for long does not count for a while: tried again then.
  const auto becomes = [&](size_t wanted, const auto& decode) {
    for (int tries = 0; tries < 100; ++tries) {
      decode();
      if (queue_.decoding() == wanted) return true;
    }
    return false;
  };
  EXPECT_TRUE(becomes(1, [&] { EXPECT_TRUE(read(&first, one_)); }));
  EXPECT_TRUE(becomes(2, [&] { EXPECT_TRUE(read(&first, one_) && read(&second, one_)); }));
  queue_.leave(&first);
  EXPECT_TRUE(becomes(1, [&] { EXPECT_TRUE(read(&second, one_)); }));
}

TEST_F(BatchQueueTest, PromptsTakeTurns) {
  per_token_ = 100us;
  const std::vector<TokenId> prompt(2000, 1), other(2000, 2);
  std::atomic<bool> first_is_in{false};
  size_t done_first = 0;
  std::thread first([&] {
    EXPECT_TRUE(read(&first, prompt, {}, nullptr, [&](size_t) { first_is_in = true; }));
    done_first = batches().size();
  });
  while (!first_is_in) std::this_thread::yield();
  EXPECT_TRUE(read(this, other));
  first.join();
  EXPECT_EQ(batches().size(), 8u);
  EXPECT_GT(done_first, 4u) << "the first did not keep the model to itself";
}

TEST_F(BatchQueueTest, OnlyTheSessionThatDoesNotFitFails) {
  per_token_ = 200us;
  const std::vector<TokenId> large = {kTooLarge};
  std::atomic<int> failed{0}, fine{0};
  std::vector<std::thread> threads;
  for (int s = 0; s < 4; ++s)
    threads.emplace_back([&, s] {
      int session;
      for (int step = 0; step < 30; ++step) {
        std::vector<float> logits = {7};
        const Status status = read(&session, s == 0 ? large : one_, {}, &logits);
        EXPECT_TRUE(status || status.code() == StatusCode::out_of_memory);
        ++(status ? fine : failed);
        // Tried again, the logits come once.
        EXPECT_EQ(logits, status ? (std::vector<float>{7, 0}) : std::vector<float>{7});
      }
      queue_.leave(&session);
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 30);
  EXPECT_EQ(fine, 90);
}

TEST_F(BatchQueueTest, ACancelledSessionGoesAndTheOthersGoOn) {
  per_token_ = 200us;
  CancelSource source;
  std::atomic<int> steps{0};
  std::vector<std::thread> threads;
  for (int s = 0; s < 3; ++s)
    threads.emplace_back([&, s] {
      int session;
      const CancelToken cancel = s == 0 ? source.token() : CancelToken();
      for (int step = 0; step < 60; ++step) {
        const Status status = read(&session, one_, cancel);
        if (s == 0 && !status) {
          EXPECT_EQ(status.code(), StatusCode::cancelled);
          break;
        }
        EXPECT_TRUE(status);
        if (s > 0) ++steps;
        if (s == 1 && step == 10) source.cancel();
      }
      queue_.leave(&session);
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(steps, 120);
  // Before anything ran, too.
  EXPECT_EQ(read(this, one_, source.token()).code(), StatusCode::cancelled);
}

class SharedModelTest : public test::ModelTest {};

TEST_F(SharedModelTest, AnswersTogetherAreThoseAloneToTheLastBitWhenDeterministic) {
  for (bool deepseek : {false, true}) {
    const auto model = load({.deepseek = deepseek, .seed = 21});
    const TimelineOptions options{.deterministic = true};
    // Prompts of different lengths, one over a batch, and sampled answers.
    const auto answer = [&](int which) {
      std::vector<TokenId> tokens;
      for (int i = 0; i < 20 + which * 250; ++i) tokens.push_back((i * (which + 3) + i / 7) % 250);
      auto timeline = *Timeline::create(model, options);
      EXPECT_TRUE(timeline->append(tokens, {}));
      Sampler sampler = *Sampler::create({.temperature = 1, .seed = static_cast<uint64_t>(which)});
      std::vector<TokenId> generated;
      EXPECT_TRUE(generate(*timeline, sampler, {.max_tokens = 24}, [&](const GeneratedToken& token) { return generated.push_back(token.id), true; }, {}));
      std::vector<float> logits(timeline->logits().begin(), timeline->logits().end());
      return std::pair(generated, logits);
    };
    std::vector<std::pair<std::vector<TokenId>, std::vector<float>>> alone(4), together(4);
    for (int which = 0; which < 4; ++which) alone[static_cast<size_t>(which)] = answer(which);
    std::vector<std::thread> threads;
    for (int which = 0; which < 4; ++which) threads.emplace_back([&, which] { together[static_cast<size_t>(which)] = answer(which); });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(together, alone);
  }
}

}  // namespace
}  // namespace wenqu::engine
