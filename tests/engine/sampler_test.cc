#include "engine/sampler/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

namespace wenqu::engine {
namespace {

std::map<int32_t, int> draw(const SamplingOptions& options, const std::vector<float>& logits, int count) {
  Sampler sampler = *Sampler::create(options);
  std::map<int32_t, int> drawn;
  for (int i = 0; i < count; ++i) ++drawn[*sampler.sample(logits)];
  return drawn;
}

TEST(Sampler, TemperatureZeroTakesTheBestAndTheLowerOfEquals) {
  const auto drawn = draw({.temperature = 0, .top_p = 1}, {1, 3, 3, 2}, 20);
  EXPECT_EQ(drawn, (std::map<int32_t, int>{{1, 20}}));
}

TEST(Sampler, FrequenciesFollowTheProbabilities) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  auto drawn = draw({.temperature = 1, .top_p = 1, .seed = 3}, logits, 40000);
  EXPECT_NEAR(drawn[0] / 40000.0, 0.5, 0.01);
  EXPECT_NEAR(drawn[1] / 40000.0, 0.3, 0.01);
  EXPECT_NEAR(drawn[2] / 40000.0, 0.15, 0.01);
  EXPECT_NEAR(drawn[3] / 40000.0, 0.05, 0.01);
}

TEST(Sampler, TheTemperatureShapesWhatTopPSees) {
  // At temperature 1 the two best reach 0.8; at 0.5 the best alone has 0.25 / (0.25 + 0.09 + 0.04) = 0.66
  // and the two best have 0.89.
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  EXPECT_EQ(draw({.temperature = 1, .top_p = 0.6f}, logits, 500).size(), 2u);
  EXPECT_EQ(draw({.temperature = 0.5f, .top_p = 0.6f}, logits, 500).size(), 1u);
  EXPECT_EQ(draw({.temperature = 1, .top_p = 0.85f}, logits, 500).size(), 3u);
}

TEST(Sampler, TopKKeepsTheBest) {
  std::vector<float> logits(1000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>((i * 37) % 1000) * 0.001f;
  const auto drawn = draw({.temperature = 5, .top_p = 1, .top_k = 3}, logits, 300);
  EXPECT_EQ(drawn.size(), 3u);
  for (const auto& [id, count] : drawn) EXPECT_GE(logits[static_cast<size_t>(id)], 0.997f);
}

TEST(Sampler, TopPKeepsTheFewestThatReachItAndTopKTheLowerOfEquals) {
  const auto ids = [](const std::map<int32_t, int>& drawn) {
    std::set<int32_t> set;
    for (const auto& [id, count] : drawn) set.insert(id);
    return set;
  };
  const std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.2f), std::log(0.3f)};
  EXPECT_EQ(ids(draw({.temperature = 1, .top_p = 0.65f}, logits, 2000)), (std::set<int32_t>{1, 3}));
  EXPECT_EQ(ids(draw({.temperature = 1, .top_p = 0.75f}, logits, 2000)), (std::set<int32_t>{1, 2, 3}));
  EXPECT_EQ(ids(draw({.temperature = 1, .top_p = 1}, logits, 2000)), (std::set<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(ids(draw({.temperature = 1, .top_p = 1, .top_k = 2}, {1, 2, 2, 2}, 2000)), (std::set<int32_t>{1, 2}));
}

TEST(Sampler, ALargeFlatVocabularyIsCutExactly) {
  const std::vector<float> logits(5000, 1.0f);
  const auto drawn = draw({.temperature = 1, .top_p = 0.1f, .seed = 5}, logits, 20000);
  EXPECT_LE(drawn.rbegin()->first, 500);
  EXPECT_GT(drawn.size(), 450u);
}

TEST(Sampler, TheSameSeedGivesTheSameChoices) {
  std::vector<float> logits(50);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i % 7);
  Sampler a = *Sampler::create({.seed = 9}), b = *Sampler::create({.seed = 9});
  for (int i = 0; i < 200; ++i) EXPECT_EQ(*a.sample(logits), *b.sample(logits));
}

TEST(Sampler, DamagedLogitsAreAnErrorOrPassedOver) {
  Sampler sampler = *Sampler::create({});
  EXPECT_EQ(sampler.sample(std::vector<float>{NAN, NAN}).status().code(), StatusCode::corrupt);
  EXPECT_EQ(sampler.sample(std::vector<float>{-INFINITY}).status().code(), StatusCode::corrupt);
  EXPECT_EQ(sampler.sample(std::vector<float>{INFINITY, 1}).status().code(), StatusCode::corrupt);
  EXPECT_EQ(sampler.sample({}).status().code(), StatusCode::corrupt);
  EXPECT_EQ(*sampler.sample(std::vector<float>{NAN, 1, -INFINITY}), 1);
}

TEST(Sampler, UnusableOptionsNameTheirField) {
  EXPECT_EQ(Sampler::create({.temperature = -1}).status().where(), "temperature");
  EXPECT_EQ(Sampler::create({.temperature = NAN}).status().where(), "temperature");
  EXPECT_EQ(Sampler::create({.top_p = 0}).status().where(), "top_p");
  EXPECT_EQ(Sampler::create({.top_p = 1.5f}).status().where(), "top_p");
  EXPECT_EQ(Sampler::create({.top_k = -1}).status().where(), "top_k");
}

}  // namespace
}  // namespace wenqu::engine
