#include "engine/batch_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <thread>

#include "engine/generate.h"
#include "engine/runtime.h"
#include "tests/engine/model_fixture.h"

namespace wenqu::engine {
namespace {

using namespace std::chrono_literals;
using Sizes = std::vector<size_t>;

// A queue over a model that only takes time, and what it was given: the sizes of each batch's sequences.
class BatchQueueTest : public testing::Test {
 protected:
  Status model(std::span<const Sequence> batch, const CancelToken& cancel, const BeforeLayer& before_layer) {
    EXPECT_FALSE(before_layer) << "nobody is let in";
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
  BatchQueue queue_{[this](const auto&... batch) { return model(batch...); }, {.gather = 500ms}};
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

// A queue over a model of several layers, between which it lets others in, and what it was given.
class LayersTest : public testing::Test {
 protected:
  struct Batch {
    Sizes sizes;
    bool let_in;   // between the layers of another
  };
  Status model(std::span<const Sequence> batch, const CancelToken& cancel, const BeforeLayer& before_layer) {
    Sizes sizes;
    for (const Sequence& sequence : batch) {
      sizes.push_back(sequence.tokens.size());
      if (sequence.tokens[0] == kTooLarge) throw std::bad_alloc();
    }
    batches_.push_back({sizes, inside_});
    if (!before_layer) return cancel.status();
    EXPECT_FALSE(inside_) << "who was let in lets nobody in";
    inside_ = true;
    for (size_t layer = 0; layer < kLayers && cancel.status(); ++layer) {
      before_layer();
      if (layer == 0 && in_piece_) in_piece_(before_layer);
    }
    inside_ = false;
    return cancel.status();
  }
  Status read(const void* session, std::span<const TokenId> tokens, const CancelToken& cancel = {}, const BatchQueue::Progress& progress = {}) {
    return queue_.read({session, {.tokens = tokens}}, cancel, progress);
  }
  // Lets others in until `enough`, which must come.
  static void let_in_until(const BeforeLayer& before_layer, const std::function<bool()>& enough) {
    const auto begun = std::chrono::steady_clock::now();
    while (!enough() && std::chrono::steady_clock::now() < begun + 20s) {
      std::this_thread::yield();
      before_layer();
    }
    EXPECT_TRUE(enough());
  }
  // A session that decodes until all is over, or it fails.
  std::thread decoding(TokenId token, std::atomic<int>& steps, StatusCode ends, const CancelToken& cancel = {}) {
    return std::thread([this, token, &steps, ends, cancel] {
      Status status;
      for (; status && !over_; ++steps) status = read(&steps, {&token, 1}, cancel);
      EXPECT_EQ(status.code(), ends);
      queue_.leave(&steps);
    });
  }

  static constexpr TokenId kTooLarge = 99;
  static constexpr size_t kLayers = 4;
  const std::vector<TokenId> prompt_ = std::vector<TokenId>(40, 1);
  std::function<void(const BeforeLayer&)> in_piece_;
  std::atomic<bool> over_{false};
  bool inside_ = false;          // a piece, as batches_ only touched by the thread that runs a batch
  std::vector<Batch> batches_;
  // Nobody who decodes waits for a layer.
  BatchQueue queue_{[this](const auto&... batch) { return model(batch...); }, {.delay = 0us, .layers = kLayers}};
};

TEST_F(LayersTest, ThoseWhoDecodeGoOnInTheMiddleOfAPiece) {
  std::atomic<int> one{0}, other{0};
  // A piece ends when each of them has got answers and come back since it began.
  in_piece_ = [&](const BeforeLayer& before_layer) {
    let_in_until(before_layer, [&, one_had = one + 3, other_had = other + 3] { return one >= one_had && other >= other_had; });
  };
  std::thread first = decoding(1, one, StatusCode::ok), second = decoding(2, other, StatusCode::ok);
  while (one == 0 || other == 0) std::this_thread::yield();
  EXPECT_TRUE(read(this, prompt_));
  over_ = true;
  first.join(), second.join();
  size_t read_tokens = 0, let_in = 0;
  for (const Batch& batch : batches_) {
    let_in += batch.let_in;
    if (batch.sizes[0] == 1) continue;
    read_tokens += batch.sizes[0];
    EXPECT_EQ(batch.sizes.size(), 1u) << "a piece goes by itself";
    EXPECT_FALSE(batch.let_in);
  }
  EXPECT_EQ(read_tokens, prompt_.size());
  EXPECT_GE(let_in, 6u);
}

// The largest piece of a prompt that is read beside an answer, at 500 us for each of its tokens, at least.
size_t largest_piece(size_t prompt, std::chrono::microseconds delay, std::chrono::microseconds decode_time) {
  constexpr size_t kLayers = 4;
  size_t largest = 0;
  BatchQueue queue([&](std::span<const Sequence> batch, const CancelToken&, const BeforeLayer& before_layer) {
    if (!before_layer) std::this_thread::sleep_for(decode_time);
    else largest = std::max(largest, batch[0].tokens.size());
    for (size_t layer = 0; before_layer && layer < kLayers; ++layer) {
      before_layer();
      std::this_thread::sleep_for(500us * static_cast<int>(batch[0].tokens.size()) / kLayers);
    }
    return Status();
  }, {.delay = delay, .layers = kLayers});
  std::atomic<bool> begun{false}, over{false};
  std::thread other([&] {
    for (const TokenId token = 1; !over; begun = true) EXPECT_TRUE(queue.read({&over, {.tokens = {&token, 1}}}, {}));
    queue.leave(&over);
  });
  while (!begun) std::this_thread::yield();
  EXPECT_TRUE(queue.read({&queue, {.tokens = std::vector<TokenId>(prompt, 1)}}, {}));
  over = true;
  other.join();
  return largest;
}

TEST(PiecesBesideAnAnswer, AreAsLongAsTheirLayersAllow) {
  const size_t largest = largest_piece(450, 25ms, 0us);
  EXPECT_LE(largest, 200u) << "four layers of 25 ms";
  EXPECT_GT(largest, 8u);
}

TEST(PiecesBesideAnAnswer, AreNotStarvedWhereDecodingIsSlow) {
  EXPECT_GT(largest_piece(120, 0us, 10ms), 8u) << "four layers of half a decoding batch";
}

TEST_F(LayersTest, WhoeverFailsBetweenLayersFailsAlone) {
  std::atomic<int> fine{0}, large{0}, cancelled{0};
  CancelSource source;
  std::vector<std::thread> others;
  in_piece_ = [&](const BeforeLayer& before_layer) {
    others.push_back(decoding(1, fine, StatusCode::ok));
    let_in_until(before_layer, [&] { return fine >= 2; });
    others.push_back(decoding(kTooLarge, large, StatusCode::out_of_memory));
    others.push_back(decoding(2, cancelled, StatusCode::cancelled, source.token()));
    let_in_until(before_layer, [&] { return large == 1 && cancelled >= 2; });
    const int had = cancelled;
    source.cancel();
    let_in_until(before_layer, [&] { return fine >= 6 && cancelled > had; });
  };
  EXPECT_TRUE(read(this, prompt_));
  over_ = true;
  for (std::thread& other : others) other.join();
}

TEST_F(LayersTest, APromptThatFailsInTheMiddleLeavesTheOthers) {
  for (const bool cancel : {false, true}) {
    std::atomic<int> steps{0};
    CancelSource source;
    over_ = false;
    in_piece_ = [&](const BeforeLayer& before_layer) {
      let_in_until(before_layer, [&, had = steps + 2] { return steps >= had; });
      if (cancel) return source.cancel();
      inside_ = false;
      throw std::bad_alloc();
    };
    std::thread other = decoding(1, steps, StatusCode::ok);
    EXPECT_EQ(read(this, prompt_, source.token()).code(), cancel ? StatusCode::cancelled : StatusCode::out_of_memory);
    const int had = steps;
    while (steps < had + 2) std::this_thread::yield();
    over_ = true;
    other.join();
  }
}

TEST_F(LayersTest, WhoTellsOfItsProgressKeepsNobodyWaiting) {
  std::atomic<int> steps{0};
  std::thread other = decoding(1, steps, StatusCode::ok);
  while (steps == 0) std::this_thread::yield();
  bool told = false;
  EXPECT_TRUE(read(this, prompt_, {}, [&](size_t) {
    told = true;
    for (const int had = steps; steps < had + 2;) std::this_thread::yield();
  }));
  EXPECT_TRUE(told);
  over_ = true;
  other.join();
}

class SharedModelTest : public test::ModelTest {};

TEST_F(SharedModelTest, AnswersBetweenTheLayersOfAPromptAreThoseAlone) {
  for (const bool deepseek : {false, true}) {
    const auto model = load({.deepseek = deepseek, .seed = 21});
    const Runtime& runtime = model->runtime();
    const KvShape shape = kv_shape(runtime.config, KvType::f16);
    size_t let_in = 0;
    bool inside = false;
    BatchQueue queue([&](std::span<const Sequence> batch, const CancelToken& cancel, const BeforeLayer& before_layer) {
      let_in += inside;
      inside = bool(before_layer);
      const Status status = forward({cpu::kernels(runtime.isa), runtime.pool, cancel}, runtime.config, runtime.weights, batch, before_layer);
      inside = false;
      return status;
    }, {.delay = std::chrono::microseconds(200), .layers = runtime.weights.layers.size()});
    // Logits behind `ahead` tokens read at once and others one by one.
    const auto logits = [&](int which, size_t ahead, size_t steps, const std::function<Status(const ReadJob&)>& read) {
      std::vector<TokenId> tokens;
      for (size_t i = 0; i < ahead + steps; ++i) tokens.push_back(static_cast<TokenId>((i * static_cast<size_t>(which + 3) + i / 7) % 250));
      KvCache cache(shape);
      EXPECT_TRUE(cache.resize(tokens.size()));
      std::vector<float> all;
      for (size_t at = 0, count = ahead; at < tokens.size(); at += count, count = 1)
        EXPECT_TRUE(read({&cache, {.tokens = std::span(tokens).subspan(at, count), .position = at, .cache = &cache, .deterministic = true, .logits = &all}}));
      queue.leave(&cache);
      return all;
    };
    const auto alone = [&](const ReadJob& job) { return forward({cpu::kernels(runtime.isa), runtime.pool, {}}, runtime.config, runtime.weights, {&job.sequence, 1}); };
    const auto together = [&](const ReadJob& job) { return queue.read(job, {}); };
    const std::vector<float> prompt = logits(0, 400, 4, alone), answer = logits(1, 4, 60, alone), other = logits(2, 6, 60, alone);
    std::thread first([&] { EXPECT_EQ(logits(1, 4, 60, together), answer); }), second([&] { EXPECT_EQ(logits(2, 6, 60, together), other); });
    for (int i = 0; i < 3; ++i) EXPECT_EQ(logits(0, 400, 4, together), prompt);
    first.join(), second.join();
    EXPECT_GT(let_in, 0u);
  }
}

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
