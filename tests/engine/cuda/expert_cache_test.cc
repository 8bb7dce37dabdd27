#include "engine/device/expert_cache.h"

#include <gtest/gtest.h>

#include "engine/device/split.h"
#include "engine/runtime.h"
#include "tests/engine/cuda/test_device.h"
#include "tests/engine/model_fixture.h"

namespace wenqu::test {
namespace {

using engine::device::ExpertCache;
using engine::device::Placement;
using engine::ops::ExpertChoice;
using engine::ops::kNoExpert;

class ExpertCacheTest : public ModelTest {
 protected:
  void SetUp() override {
    ModelTest::SetUp();
    options_.deepseek = true, options_.layers = 4;
    model_ = load(options_);
  }
  const Config& config() const { return model_->runtime().config; }
  const Weights& weights() const { return model_->runtime().weights; }
  size_t layer(size_t mixture) const { return static_cast<size_t>(weights().mixtures()[mixture] - weights().layers.data()); }
  // A cache for as many experts.
  std::unique_ptr<ExpertCache> cache(size_t experts) {
    Placement placement;
    placement.layers = {0, config().layers}, placement.on_cpu = 100;
    const auto all = *ExpertCache::create(device_, config(), weights(), placement, uint64_t{1} << 30);
    const cuda::FeedForward expert = all->weights(layer(0));
    return *ExpertCache::create(device_, config(), weights(), placement, (1 + experts) * expert.gate.matrix_bytes);
  }
  // Tokens that choose these experts; those that the device did not have.
  std::vector<uint32_t> choose(ExpertCache& cache, const std::vector<uint32_t>& experts, size_t mixture = 0) {
    std::vector<ExpertChoice> choices;
    for (const uint32_t expert : experts) choices.push_back({expert, 0.5f});
    std::vector<Choice> here(choices.size());
    const size_t found = cache.divide(layer(mixture), choices, here);
    std::vector<uint32_t> missed;
    size_t places = 0;
    for (size_t i = 0; i < choices.size(); ++i) {
      if (choices[i].expert != kNoExpert) missed.push_back(choices[i].expert);
      EXPECT_EQ(here[i].weight, choices[i].expert == kNoExpert ? 0.5f : 0.0f);
      EXPECT_EQ(here[i].expert > 0, choices[i].expert == kNoExpert);
      places += here[i].expert > 0 ? 1 : 0;
    }
    EXPECT_EQ(places, found);
    EXPECT_TRUE(cache.keep_up(1));
    return missed;
  }

  ReferenceOptions options_;
  std::shared_ptr<const Model> model_;
  std::shared_ptr<TestDevice> device_ = std::make_shared<TestDevice>();
};

TEST_F(ExpertCacheTest, AnExpertThatIsUsedAgainComesToTheDevice) {
  const auto kept = cache(8);
  EXPECT_EQ(choose(*kept, {3}).size(), 1u);
  EXPECT_EQ(choose(*kept, {3}).size(), 1u);   // one use is none to learn from
  EXPECT_EQ(choose(*kept, {3, 4}), (std::vector<uint32_t>{4}));
  EXPECT_EQ(kept->hits(), 1u);
  EXPECT_EQ(kept->misses(), 3u);
}

TEST_F(ExpertCacheTest, WhatIsUsedClearlyMoreTakesThePlaceOfWhatIsUsedLeast) {
  const auto kept = cache(8);
  const std::vector<uint32_t> all = {0, 1, 2, 3, 4, 5, 6, 7};
  ASSERT_EQ(config().moe.router.experts, all.size());
  for (int round = 0; round < 8; ++round)
    for (uint32_t expert = 0; expert < 8; ++expert) choose(*kept, {expert});
  EXPECT_TRUE(choose(*kept, all).empty());
  // One of another layer, used as often as these and no more.
  for (int i = 0; i < 9; ++i) EXPECT_EQ(choose(*kept, {1}, 1).size(), 1u) << i;
  EXPECT_TRUE(choose(*kept, all).empty());
  for (int i = 0; i < 8; ++i) choose(*kept, {1}, 1);
  EXPECT_TRUE(choose(*kept, {1}, 1).empty());
  EXPECT_EQ(choose(*kept, all).size(), 1u);
}

TEST_F(ExpertCacheTest, FewExpertsAreNotWorthOne) {
  Placement placement;
  placement.layers = {0, config().layers}, placement.on_cpu = 100;
  EXPECT_FALSE(*ExpertCache::create(device_, config(), weights(), placement, 100));
  placement.on_cpu = 0;
  EXPECT_FALSE(*ExpertCache::create(device_, config(), weights(), placement, uint64_t{1} << 30));
}

TEST_F(ExpertCacheTest, AnswersStayTheSameWhileExpertsCome) {
  const std::vector<float> want = all_logits(model_, kTokens);
  LoadOptions options;
  options.open_devices = {device_};
  options.cpu_experts = 100, options.context_tokens = 256, options.prefix_cache_bytes = 0;
  const auto model = *Model::load(path_, options);
  const auto& gpu = *model->runtime().gpu;
  uint64_t before = 0, there = 0;
  for (int round = 0; round < 5; ++round) {
    EXPECT_LT(distance(all_logits(model, kTokens), want), 0.01) << round;
    there = gpu.experts_used().there - before, before = gpu.experts_used().there;
  }
  EXPECT_GT(gpu.experts_used().here, 0u);
  EXPECT_EQ(there, 0u);   // in the end all that the tokens choose are there
  // Sequences that are to be the same ever do without.
  const uint64_t here = gpu.experts_used().here;
  all_logits(model, kTokens, {.kv_type = KvType::f32, .deterministic = true});
  EXPECT_EQ(gpu.experts_used().here, here);
}

}  // namespace
}  // namespace wenqu::test
