#include "engine/ops/router.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace wenqu::engine::ops {
namespace {

std::vector<ExpertChoice> choose(const RouterConfig& config, std::vector<float> logits, std::vector<float> bias = {}) {
  std::vector<ExpertChoice> out(config.used);
  choose_experts(config, logits, bias, out);
  return out;
}

TEST(Router, SoftmaxWeightsAreNotNormalisedUnlessAsked) {
  RouterConfig config{.experts = 4, .used = 2, .gating = RouterConfig::Gating::softmax};
  const std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.3f), std::log(0.2f)};
  auto chosen = choose(config, logits);
  EXPECT_EQ(chosen[0].expert, 1u);
  EXPECT_EQ(chosen[1].expert, 2u);
  EXPECT_NEAR(chosen[0].weight, 0.4, 1e-6);
  config.normalize = true;
  config.scale = 2.5;
  chosen = choose(config, logits);
  EXPECT_NEAR(chosen[0].weight, 2.5 * 0.4 / 0.7, 1e-5);
}

TEST(Router, TheBiasChoosesButDoesNotWeigh) {
  const RouterConfig config{.experts = 3, .used = 1, .gating = RouterConfig::Gating::sigmoid};
  const auto chosen = choose(config, {0, 1, 2}, {5, 0, 0});
  EXPECT_EQ(chosen[0].expert, 0u);
  EXPECT_NEAR(chosen[0].weight, 0.5, 1e-6);
}

TEST(Router, OnlyExpertsOfTheBestGroupsAreChosen) {
  // Group 0 holds the single best expert, group 1 the best two together: V3 takes group 1, V2 group 0.
  const std::vector<float> logits = {3, -5, 2, 2};
  RouterConfig config{.experts = 4, .used = 1, .gating = RouterConfig::Gating::sigmoid, .groups = 2, .groups_used = 1};
  EXPECT_EQ(choose(config, logits, {0, 0, 0, 0})[0].expert, 2u);
  EXPECT_EQ(choose(config, logits)[0].expert, 0u);
}

TEST(Router, TiesGoToTheLowerIndex) {
  const RouterConfig config{.experts = 5, .used = 3, .gating = RouterConfig::Gating::sigmoid};
  const auto chosen = choose(config, {1, 1, 1, 1, 1});
  for (uint32_t k = 0; k < 3; ++k) EXPECT_EQ(chosen[k].expert, k);
}

TEST(Router, ScoresThatAreNoNumbersStillChooseDifferentExperts) {
  const RouterConfig config{.experts = 4, .used = 3, .gating = RouterConfig::Gating::sigmoid, .groups = 2, .groups_used = 2};
  const auto chosen = choose(config, {NAN, NAN, 1, NAN}, {0, 0, 0, 0});
  EXPECT_EQ(chosen[0].expert, 2u);
  EXPECT_NE(chosen[1].expert, chosen[2].expert);
}

TEST(Router, AsManyExpertsAsAFileMayStateTakeTimeInProportion) {
  constexpr uint32_t kExperts = 4096;
  const RouterConfig config{.experts = kExperts, .used = kExperts, .gating = RouterConfig::Gating::sigmoid,
                            .groups = kExperts, .groups_used = kExperts};
  std::vector<float> logits(kExperts);
  for (uint32_t i = 0; i < kExperts; ++i) logits[i] = static_cast<float>(i * 2654435761u % kExperts) / kExperts;
  // Comparing each with each would take minutes here.
  for (int round = 0; round < 300; ++round) {
    const auto chosen = choose(config, logits);
    for (uint32_t k = 1; k < kExperts; ++k) ASSERT_GE(chosen[k - 1].weight, chosen[k].weight);
  }
}

}  // namespace
}  // namespace wenqu::engine::ops
