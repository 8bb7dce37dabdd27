#include "engine/device/placement.h"

#include <gmock/gmock.h>

#include "engine/device/scratch.h"
#include "engine/runtime.h"
#include "tests/engine/model_fixture.h"

namespace wenqu::test {
namespace {

using engine::device::DeviceModel;
using engine::device::LayerRange;
using engine::device::PlacedShare;
using engine::device::PlacementPlan;
using engine::device::PlacementWish;
using testing::HasSubstr;

class PlacementTest : public ModelTest {
 protected:
  void use(const std::string& dense, bool deepseek, uint32_t layers) {
    ReferenceOptions options;
    options.dense = dense, options.deepseek = deepseek, options.layers = layers;
    model_ = load(options);
  }
  const Config& config() const { return model_->runtime().config; }
  const Weights& weights() const { return model_->runtime().weights; }
  uint64_t needed(const LayerRange& layers, size_t on_cpu = 0) const {
    return DeviceModel::needs(config(), weights(), {.layers = layers, .on_cpu = on_cpu}).total() + layers.count() * wish_.kv_layer_bytes;
  }
  Result<PlacementPlan> plan(std::vector<uint64_t> rooms) const {
    std::vector<PlacedShare> devices;
    for (const uint64_t room : rooms) devices.push_back({.name = "card " + std::to_string(devices.size()), .room = room});
    return plan_placement(config(), weights(), devices, wish_);
  }

  std::shared_ptr<const Model> model_;
  PlacementWish wish_{.kv_layer_bytes = 4096};
};

TEST_F(PlacementTest, AModelThatFitsIsAllOnTheDevice) {
  use("qwen2", false, 6);
  const auto placed = plan({uint64_t{1} << 40});
  ASSERT_TRUE(placed);
  ASSERT_EQ(placed->devices.size(), 1u);
  EXPECT_EQ(placed->devices[0].layers, (LayerRange{0, 6}));
  EXPECT_EQ(placed->cpu.weights, 0u);
  EXPECT_GT(placed->batch_tokens, kMaxBatch);   // where there is so much room
  EXPECT_EQ(placed->devices[0].weights, DeviceModel::needs(config(), weights(), {.layers = {0, 6}, .batch_tokens = placed->batch_tokens}).weights);
}

TEST_F(PlacementTest, PartialSumsOfAttentionAreCounted) {
  use("qwen2", false, 2);
  const auto needs = DeviceModel::needs(config(), weights(), {.layers = {0, 2}});
  const size_t room = engine::cuda::partial_room(engine::device::attention_shape(config()), kMaxBatch, config().context);
  EXPECT_EQ(needs.partials, room * sizeof(float));
  EXPECT_GT(needs.partials, 0u);
  EXPECT_GT(needs.scratch, needs.partials);
}

TEST_F(PlacementTest, TheFirstLayersOfAModelThatDoesNotFitStayWithTheCpu) {
  use("qwen2", false, 6);
  const auto placed = plan({needed({2, 6})});
  ASSERT_TRUE(placed) << placed.status().to_string();
  EXPECT_EQ(placed->devices[0].layers, (LayerRange{2, 6}));
  EXPECT_EQ(placed->cpu.layers, (LayerRange{0, 2}));
  EXPECT_GT(placed->cpu.weights, 0u);
  EXPECT_EQ(placed->cpu.kv_cache, 2u * 4096);
  const auto fewer = plan({needed({2, 6}) - 1});
  ASSERT_TRUE(fewer);
  EXPECT_EQ(fewer->cpu.layers, (LayerRange{0, 3}));
}

TEST_F(PlacementTest, RoutedExpertsStayWithTheCpuBeforeWholeLayers) {
  use("", true, 5);
  const size_t mixtures = weights().mixtures().size();
  ASSERT_GE(mixtures, 2u);
  const auto some = plan({needed({0, 5}, 1)});
  ASSERT_TRUE(some);
  EXPECT_EQ(some->on_cpu, 1u);
  EXPECT_EQ(some->devices[0].cpu_experts, 1u);
  EXPECT_EQ(some->cpu.layers.count(), 0u);
  EXPECT_EQ(some->cpu_expert_bytes, some->cpu.weights);
  const auto all = plan({needed({1, 5}, mixtures)});
  ASSERT_TRUE(all);
  EXPECT_EQ(all->on_cpu, mixtures);
  EXPECT_EQ(all->cpu.layers, (LayerRange{0, 1}));
}

TEST_F(PlacementTest, WhatIsAskedForIsDone) {
  use("", true, 5);
  wish_.gpu_layers = 3, wish_.cpu_experts = 2;
  const auto placed = plan({uint64_t{1} << 40});
  ASSERT_TRUE(placed);
  EXPECT_EQ(placed->devices[0].layers, (LayerRange{2, 5}));
  EXPECT_EQ(placed->on_cpu, 2u);
  wish_.cpu_experts = 0;
  const auto refused = plan({needed({2, 5}) - 1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.status().code(), StatusCode::out_of_memory);
  EXPECT_THAT(refused.status().to_string(), HasSubstr("3 of 5 layers need"));
}

TEST_F(PlacementTest, LayersAreDividedAmongDevicesByTheirRoom) {
  use("qwen2", false, 24);
  const uint64_t all = needed({0, 24});
  const auto even = plan({2 * all, 2 * all});
  ASSERT_TRUE(even);
  ASSERT_EQ(even->devices.size(), 2u);
  const auto share = [](const PlacedShare& device) { return static_cast<double>(device.needed()) / static_cast<double>(device.room); };
  EXPECT_NEAR(share(even->devices[0]), share(even->devices[1]), 0.1);
  const auto uneven = plan({4 * all, 2 * all});
  ASSERT_TRUE(uneven);
  EXPECT_GT(uneven->devices[0].layers.count(), uneven->devices[1].layers.count());
  EXPECT_EQ(uneven->devices[0].layers.end, uneven->devices[1].layers.first);
  EXPECT_EQ(uneven->devices[1].layers.end, 24u);
}

TEST_F(PlacementTest, ADeviceWithoutRoomGetsNoLayers) {
  use("qwen2", false, 6);
  const auto placed = plan({1000, uint64_t{1} << 40});
  ASSERT_TRUE(placed);
  ASSERT_EQ(placed->devices.size(), 1u);
  EXPECT_EQ(placed->chosen, std::vector<size_t>{1});
}

}  // namespace
}  // namespace wenqu::test
