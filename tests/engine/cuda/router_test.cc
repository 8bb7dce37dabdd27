#include "engine/cuda/kernels/router.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "engine/cuda/kernel_list.h"
#include "engine/ops/router.h"
#include "tests/engine/cuda/device_memory.h"
#include "tests/engine/cuda/test_device.h"

namespace wenqu::test {
namespace {

using engine::ops::ExpertChoice;
using engine::ops::RouterConfig;

class ExpertsOnTheDevice : public testing::Test {
 protected:
  // The device's choices for rows of logits, held against those of the CPU.
  void expect_the_same(const RouterConfig& config, const std::vector<float>& logits, const std::vector<float>& bias) {
    const size_t tokens = logits.size() / config.experts;
    const Array<float> rows(device_, logits), biases(device_, bias.empty() ? std::vector<float>{0} : bias);
    const Array<Choice> choices(device_, tokens * config.used);
    const Status status = launch<ChooseExperts>(
        device_, {static_cast<unsigned>(tokens)},
        {rows.data(), bias.empty() ? nullptr : biases.data(), static_cast<int>(config.experts), static_cast<int>(config.used),
         config.gating == RouterConfig::Gating::sigmoid, config.normalize, config.scale, static_cast<int>(config.groups),
         static_cast<int>(config.groups_used), choices.data()});
    ASSERT_TRUE(status) << status.to_string();
    const std::vector<Choice> got = choices.values();
    std::vector<ExpertChoice> want(config.used);
    for (size_t t = 0; t < tokens; ++t) {
      std::vector<float> row(logits.begin() + static_cast<ptrdiff_t>(t * config.experts), logits.begin() + static_cast<ptrdiff_t>((t + 1) * config.experts));
      engine::ops::choose_experts(config, row, bias, want);
      for (size_t k = 0; k < config.used; ++k) {
        const Choice& choice = got[t * config.used + k];
        ASSERT_EQ(choice.expert, static_cast<int32_t>(want[k].expert)) << "token " << t << ", choice " << k;
        if (std::isnan(want[k].weight))
          ASSERT_TRUE(std::isnan(choice.weight));
        else
          ASSERT_NEAR(choice.weight, want[k].weight, std::abs(want[k].weight) * 1e-5 + 1e-12) << "token " << t << ", choice " << k;
      }
    }
  }

  // On a grid so coarse that equal numbers are frequent, and different ones differ after rounding too.
  std::vector<float> logits(size_t n, float step) {
    std::vector<float> values(n);
    std::normal_distribution<float> normal(0, 2);
    for (float& value : values) value = std::nearbyint(normal(random_) / step) * step;
    return values;
  }

  std::mt19937 random_{3};
  TestDevice device_;
};

const RouterConfig kV2Lite{64, 6, RouterConfig::Gating::softmax, false, 1, 1, 1};
const RouterConfig kV2{160, 6, RouterConfig::Gating::softmax, false, 16, 8, 3};
const RouterConfig kV3{256, 8, RouterConfig::Gating::sigmoid, true, 2.5f, 8, 4};

TEST_F(ExpertsOnTheDevice, AreThoseThatTheCpuChooses) {
  for (const float step : {0.25f, 0.01f}) {
    expect_the_same(kV2Lite, logits(500 * 64, step), {});
    expect_the_same(kV2, logits(60 * 160, step), {});
    expect_the_same(kV3, logits(60 * 256, step), logits(256, 1.0f / 16));
    expect_the_same(kV3, logits(60 * 256, step), {});
  }
}

TEST_F(ExpertsOnTheDevice, AreThoseThatTheCpuChoosesForAnyShape) {
  for (int i = 0; i < 400; ++i) {
    RouterConfig config;
    config.groups = 1 + random_() % 8;
    config.experts = config.groups * (1 + random_() % 40) + (random_() % 4 == 0 ? 3 : 0);
    config.groups_used = 1 + random_() % config.groups;
    config.used = 1 + random_() % std::min<uint32_t>(kMostUsed, config.experts);
    config.gating = random_() % 2 ? RouterConfig::Gating::sigmoid : RouterConfig::Gating::softmax;
    config.normalize = random_() % 2;
    config.scale = 1.5f;
    expect_the_same(config, logits(4 * config.experts, 0.125f), random_() % 2 ? logits(config.experts, 0.25f) : std::vector<float>());
  }
  expect_the_same({kMostExperts, kMostUsed, RouterConfig::Gating::sigmoid, true, 1, 1, 1}, logits(4 * kMostExperts, 0.125f), {});
}

TEST_F(ExpertsOnTheDevice, AreSomeThatExistWhateverTheLogitsAre) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  for (const RouterConfig& config : {kV2Lite, kV2, kV3})
    for (const float odd : {nan, infinity, -infinity, 3e38f, -3e38f, -0.0f})
      for (const int every : {1, 2, 7, 1000}) {
        std::vector<float> rows = logits(2 * config.experts, 0.25f);
        for (size_t e = random_() % 3; e < rows.size(); e += static_cast<size_t>(every)) rows[e] = odd;
        expect_the_same(config, rows, config.gating == RouterConfig::Gating::sigmoid ? logits(config.experts, 0.25f) : std::vector<float>());
      }
}

}  // namespace
}  // namespace wenqu::test
