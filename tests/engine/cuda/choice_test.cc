// Tokens that are chosen from what a device tells of their logits.
#include "engine/generate.h"

#include <gmock/gmock.h>

#include "tests/engine/cuda/device_model_fixture.h"

namespace wenqu::test {
namespace {

// The tokens that a sampler chooses, by generate(), which asks for the best logits only.
std::vector<TokenId> generated(Timeline& timeline, const SamplingOptions& sampling, Drafter* drafter = nullptr) {
  Sampler sampler = *Sampler::create(sampling);
  std::vector<TokenId> out;
  GenerateOptions options;
  options.max_tokens = 4;
  options.drafter = drafter;
  const auto result = generate(timeline, sampler, options, [&](const GeneratedToken& token) { return out.push_back(token.id), true; }, {});
  EXPECT_TRUE(result) << result.status().to_string();
  return out;
}

TEST_F(TimelineOnADevice, ChoosesFromTheBestLogitsTheTokensThatItChoosesFromAll) {
  const auto model = load_on_device(small());
  auto begun = *Timeline::create(model, {});
  ASSERT_TRUE(begun->append(kTokens, {}));
  for (SamplingOptions sampling : {SamplingOptions{.temperature = 0}, SamplingOptions{.temperature = 0.7f, .top_p = 0.9f}, SamplingOptions{.temperature = 1, .top_p = 1, .top_k = 30},
                                   SamplingOptions{.temperature = 1, .top_p = 1}, SamplingOptions{.temperature = 0.8f, .repetition_penalty = 1.2f}})
    for (sampling.seed = 1; sampling.seed <= 2; ++sampling.seed) {
      auto all = *begun->fork(), best = *begun->fork();
      Sampler sampler = *Sampler::create(sampling);
      std::vector<TokenId> want, made;
      while (want.size() < 4) {
        const TokenId next = *sampler.sample(all->logits().first(model->tokenizer().size()), {kTokens, made});
        if (model->tokenizer().is_end_of_generation(next)) break;
        want.push_back(next), made.push_back(next);
        ASSERT_TRUE(all->append({&next, 1}, {}));
      }
      EXPECT_EQ(generated(*best, sampling), want) << "temperature " << sampling.temperature << ", seed " << sampling.seed;
      if (sampling.temperature != 0.7f) break;   // one is enough
    }
}

TEST_F(TimelineOnADevice, DecodingCopiesNoLogits) {
  if (!device_->emulator()) GTEST_SKIP() << "a GPU does not tell";
  const auto model = load_on_device(small());
  auto timeline = *Timeline::create(model, {});
  ASSERT_TRUE(timeline->append(kTokens, {}));
  const uint64_t before = device_->emulator()->bytes_downloaded();
  const size_t tokens = generated(*timeline, {.temperature = 0}).size();
  ASSERT_GT(tokens, 0u);
  EXPECT_EQ(device_->emulator()->bytes_downloaded() - before, tokens * 2 * sizeof(Word2));
  EXPECT_TRUE(timeline->logits().empty());
  ASSERT_TRUE(timeline->top());
}

TEST_F(TimelineOnADevice, LogitsThatStayedOnTheDeviceComeWhenTheyAreWanted) {
  const auto model = load_on_device(small());
  auto timeline = *Timeline::create(model, {});
  ASSERT_TRUE(timeline->append(kTokens, {}));
  auto plain = *timeline->fork();
  for (const TokenId token : generated(*timeline, {.temperature = 0})) ASSERT_TRUE(plain->append({&token, 1}, {}));
  ASSERT_TRUE(timeline->logits().empty());
  auto fork = *timeline->fork();
  CancelSource stopped;
  stopped.cancel();
  EXPECT_EQ(fork->recall_logits(stopped.token()).code(), StatusCode::cancelled);
  ASSERT_TRUE(fork->top());   // nothing has changed
  ASSERT_TRUE(fork->recall_logits({}));
  EXPECT_FALSE(fork->top());
  EXPECT_LT(distance(fork->logits(), plain->logits()), 1e-4);
  // A saved session has them too.
  const std::string saved = path_ + ".session";
  ASSERT_TRUE(timeline->save(saved));
  auto restored = *Timeline::restore(model, saved, {});
  EXPECT_LT(distance(restored->logits(), plain->logits()), 1e-4);
  std::filesystem::remove(saved);
}

TEST_F(TimelineOnADevice, DraftsAreJudgedByTheBestLogitsToo) {
  const auto model = load_on_device(small());
  auto timeline = *Timeline::create(model, {.deterministic = true});
  ASSERT_TRUE(timeline->append(kTokens, {}));
  auto plain = *timeline->fork();
  // A draft that holds what will be chosen, and then what will not.
  const std::vector<TokenId> want = generated(*plain, {.temperature = 0});
  ASSERT_GE(want.size(), 3u);
  Sampler sampler = *Sampler::create({.temperature = 0});
  TopRequest request = *sampler.top_request();
  request.numbers = model->tokenizer().size();
  const std::vector<TokenId> draft = {want[1], want[2] == 9 ? 8 : 9};
  ASSERT_TRUE(timeline->append_with_draft(want[0], draft, {}, &request));
  ASSERT_TRUE(timeline->top());
  EXPECT_EQ(*sampler.sample_from(*timeline->top()), want[1]);
  ASSERT_TRUE(timeline->append({&want[1], 1}, {}, {}, &request));
  ASSERT_TRUE(timeline->top());
  EXPECT_EQ(*sampler.sample_from(*timeline->top()), want[2]);
  ASSERT_TRUE(timeline->append({&want[2], 1}, {}, {}, &request));
  ASSERT_TRUE(timeline->top());
}

}  // namespace
}  // namespace wenqu::test
