#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <thread>

#include "engine/batch_queue.h"
#include "engine/cache/memory_account.h"
#include "engine/runtime.h"
#include "tests/engine/model_fixture.h"

namespace wenqu::engine {
namespace {

TEST(MemoryAccount, RefusesWhatIsNotThereAndCountsWhatIs) {
  const auto account = std::make_shared<MemoryAccount>(100, 30);
  {
    const MemoryCharge first(account, 50), second(account, 20), third(account, 1);
    EXPECT_TRUE(first);
    EXPECT_TRUE(second);
    EXPECT_FALSE(third) << "30 are kept";
    EXPECT_EQ(account->used(), 70u);
    EXPECT_EQ(account->left(), 30u);
  }
  EXPECT_EQ(account->used(), 0u);
  EXPECT_FALSE(account->charge(UINT64_MAX)) << "no sum overflows";
  EXPECT_TRUE(MemoryCharge(nullptr, 1000));
}

TEST(MemoryAccount, AsksOthersToGiveWayBeforeItRefuses) {
  MemoryAccount account(100);
  ASSERT_TRUE(account.charge(90));
  int asked = 0, granted = 0;
  account.set_hooks([&] { return ++asked < 3 ? account.release(20), true : false; }, [&] { ++granted; });
  EXPECT_TRUE(account.charge(50));
  EXPECT_EQ(asked, 2);
  EXPECT_FALSE(account.charge(50));
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(granted, 1);
  MemoryAccount unlimited;
  EXPECT_TRUE(unlimited.charge(1 << 20));
  EXPECT_FALSE(unlimited.charge(uint64_t{1} << 60)) << "more than any machine has";
}

TEST(MemoryAccount, IsChargedByThreadsNoFurtherThanItsLimit) {
  MemoryAccount account(1000);
  std::atomic<int> granted{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) granted += account.charge(1);
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(granted, 1000);
  EXPECT_EQ(account.used(), 1000u);
}

class MemoryBudgetTest : public test::ModelTest {
 protected:
  // Room for `contexts` caches of 512 tokens.
  std::shared_ptr<const Model> load_with_room(size_t contexts, uint64_t prefix_cache = 256 << 20) {
    test::ReferenceModel({.deepseek = true}).writer().write(path_);
    LoadOptions options;
    options.context_tokens = 512;
    options.prefix_cache_bytes = prefix_cache;
    const MemoryEstimate needs = Model::inspect(path_, options)->second;
    options.memory_budget = needs.total() - needs.prefix_cache + (contexts - 1) * needs.kv_cache;
    auto model = Model::load(path_, options);
    EXPECT_TRUE(model) << model.status().to_string();
    EXPECT_EQ((*model)->memory().budget, options.memory_budget);
    return *model;
  }
  static std::vector<TokenId> some(size_t count, int seed) {
    std::vector<TokenId> tokens;
    for (size_t i = 0; i < count; ++i) tokens.push_back(static_cast<TokenId>((i * 7 + static_cast<size_t>(seed) * i * i) % 100));
    return tokens;
  }
};

TEST_F(MemoryBudgetTest, ASessionThatDoesNotFitFailsAndTheOthersGoOn) {
  const auto model = load_with_room(1);
  auto first = *Timeline::create(model), alone = *Timeline::create(*Model::load(path_, {}));
  ASSERT_TRUE(first->append(some(300, 1), {}));
  ASSERT_TRUE(alone->append(some(300, 1), {}));
  const Result<std::unique_ptr<Timeline>> second = Timeline::create(model);
  const Status status = second ? (*second)->append(some(300, 2), {}) : second.status();
  EXPECT_EQ(status.code(), StatusCode::out_of_memory);
  EXPECT_NE(status.message().find("end other sessions"), std::string::npos) << status.to_string();
  if (second) {
    EXPECT_TRUE((*second)->tokens().empty());
  }
  // To the end of its context, whatever the prefix cache shares of it.
  for (TokenId token : some(212, 3)) {
    const Status read = first->append({&token, 1}, {});
    ASSERT_TRUE(read) << read.to_string();
    ASSERT_TRUE(alone->append({&token, 1}, {}));
  }
  EXPECT_TRUE(std::ranges::equal(first->logits(), alone->logits()));
  EXPECT_EQ(first->append(some(1, 1), {}).code(), StatusCode::out_of_memory);
  EXPECT_EQ(first->tokens().size(), 512u);
}

TEST_F(MemoryBudgetTest, ThePrefixCacheIsCountedAndGivesWay) {
  const auto model = load_with_room(2);
  for (int i = 0; i < 12; ++i) {
    auto timeline = *Timeline::create(model);
    const Status status = timeline->append(some(500, i), {});
    ASSERT_TRUE(status) << i << ": " << status.to_string();
    EXPECT_LE(model->memory().sessions, model->memory().sessions_limit);
  }
  const MemoryUse use = model->memory();
  EXPECT_GT(use.prefix_cache, 0u);
  EXPECT_LE(use.prefix_cache, use.sessions_limit);
  EXPECT_EQ(use.sessions, use.prefix_cache) << "nobody else holds anything";
  // The last one is still known.
  auto again = *Timeline::create(model);
  ASSERT_TRUE(again->append(some(500, 11), {}));
  EXPECT_GT(again->reused_tokens(), 400u);
}

TEST_F(MemoryBudgetTest, ForksAndSavedSessionsAreCountedOnce) {
  const auto model = load_with_room(2, 0);
  auto timeline = *Timeline::create(model);
  ASSERT_TRUE(timeline->append(some(256, 1), {}));
  const uint64_t one = model->memory().sessions;
  auto fork = *timeline->fork();
  EXPECT_LT(model->memory().sessions - one, one / 2) << "the cache is shared";
  const std::string saved = path_ + ".session";
  ASSERT_TRUE(timeline->save(saved));
  auto restored = Timeline::restore(model, saved);
  ASSERT_TRUE(restored) << restored.status().to_string();
  EXPECT_GE(model->memory().sessions, 2 * one);
  std::vector<std::unique_ptr<Timeline>> more;
  Status status;
  while (status && more.size() < 20) {
    Result<std::unique_ptr<Timeline>> next = Timeline::restore(model, saved);
    status = next.status();
    if (next) more.push_back(std::move(*next));
  }
  EXPECT_EQ(status.code(), StatusCode::out_of_memory);
  std::filesystem::remove(saved);
  more.clear();
  restored = Status(StatusCode::cancelled, "");
  fork.reset();
  EXPECT_EQ(model->memory().sessions, one);
  timeline.reset();
  EXPECT_EQ(model->memory().sessions, 0u);
}

TEST_F(MemoryBudgetTest, LogitsOfManyTokensAreCounted) {
  const auto model = load_with_room(1);
  auto timeline = *Timeline::create(model);
  const uint64_t tokens = model->memory().sessions_limit / (model->info().vocabulary * sizeof(float)) + 1;
  ASSERT_LE(tokens, 512u);
  EXPECT_EQ(timeline->append_with_logits(some(tokens, 1), {}).status().code(), StatusCode::out_of_memory);
  EXPECT_TRUE(timeline->tokens().empty());
  EXPECT_TRUE(timeline->append_with_logits(some(8, 1), {}));
}

TEST_F(MemoryBudgetTest, ASessionThatRunsOutOfMemoryInTheMiddleOfABatchFailsAlone) {
  const auto model = load({.deepseek = true, .seed = 21});
  const Runtime& runtime = model->runtime();
  const KvShape shape = kv_shape(runtime.config, KvType::f32);
  const std::vector<TokenId> prompt = some(1200, 1), answer = some(1500, 2);
  KvCache good(shape), bad(shape);
  ASSERT_TRUE(good.resize(answer.size()));
  ASSERT_TRUE(bad.resize(prompt.size()));
  bool together = false;
  BatchQueue queue([&](std::span<const Sequence> batch, const CancelToken& cancel, const BeforeLayer&) -> Status {
    // What a lack of memory leaves behind: rows of the batch are written, logits are appended.
    WENQU_RETURN_IF_ERROR(forward({cpu::kernels(runtime.isa), runtime.pool, cancel}, runtime.config, runtime.weights, batch));
    for (const Sequence& sequence : batch)
      if (sequence.cache == &bad && sequence.position >= 64) {
        together = together || batch.size() > 1;
        throw std::bad_alloc();
      }
    return {};
  }, {.gather = std::chrono::milliseconds(500)});
  std::vector<float> got, want;
  std::atomic<bool> begun{false}, over{false};
  size_t decoded = 0;
  std::thread decoding([&] {
    for (size_t& i = decoded; i < answer.size() && !over; ++i) {
      EXPECT_TRUE(queue.read({&good, {.tokens = std::span(answer).subspan(i, 1), .position = i, .cache = &good, .deterministic = true, .logits = &got}}, {}));
      begun = true;
    }
    queue.leave(&good);
  });
  while (!begun) std::this_thread::yield();
  const Status status = queue.read({&bad, {.tokens = prompt, .cache = &bad, .wanted = Sequence::Logits::none}}, {});
  EXPECT_EQ(status.code(), StatusCode::out_of_memory);
  over = true;
  decoding.join();
  EXPECT_TRUE(together);
  KvCache cache(shape);
  ASSERT_TRUE(cache.resize(answer.size()));
  for (size_t i = 0; i < decoded; ++i) {
    const Sequence next{.tokens = std::span(answer).subspan(i, 1), .position = i, .cache = &cache, .deterministic = true, .logits = &want};
    ASSERT_TRUE(forward({cpu::kernels(runtime.isa), runtime.pool, {}}, runtime.config, runtime.weights, {&next, 1}));
  }
  EXPECT_EQ(got, want);
}

}  // namespace
}  // namespace wenqu::engine
