#include "engine/device/split.h"

#include <gmock/gmock.h>

#include "tests/engine/cuda/device_model_fixture.h"

namespace wenqu::test {
namespace {

// A model of which the CPU has the first layers, and several devices the others.
class SplitOverDevices : public TimelineOnADevice {
 protected:
  // What of the device's memory was taken from the start.
  std::shared_ptr<const Model> load_split(const ReferenceOptions& options, size_t devices, int gpu_layers, int cpu_experts = -1) {
    ReferenceModel(options).writer().write(path_);
    LoadOptions load;
    load.context_tokens = 256;
    load.gpu_layers = gpu_layers, load.cpu_experts = cpu_experts;
    devices_.clear();
    while (devices_.size() < devices) devices_.push_back(std::make_shared<TestDevice>()), load.open_devices.push_back(devices_.back());
    auto model = Model::load(path_, load);
    EXPECT_TRUE(model) << model.status().to_string();
    return *model;
  }
  static ReferenceOptions four_layers(bool deepseek) {
    ReferenceOptions options;
    options.deepseek = deepseek, options.layers = 4;
    return options;
  }
  std::vector<std::shared_ptr<TestDevice>> devices_;
};

TEST_F(SplitOverDevices, LayersOnTheCpuGiveTheSameLogits) {
  for (const bool deepseek : {true, false}) {
    const ReferenceOptions options = four_layers(deepseek);
    const auto on_cpu = load(options);
    const std::vector<float> want = all_logits(on_cpu, kTokens);
    for (const int gpu_layers : {1, 3}) {
      const auto model = load_split(options, 1, gpu_layers);
      EXPECT_EQ(model->info().cpu_layers, 4u - static_cast<uint32_t>(gpu_layers));
      EXPECT_LT(distance(all_logits(model, kTokens), want), 0.01) << gpu_layers;
      // Session by session and all at once, with prompts and single tokens in one batch.
      auto timeline = *Timeline::create(model, {});
      ASSERT_TRUE(timeline->append(kTokens, {}));
      auto here = *Timeline::create(on_cpu, {});
      ASSERT_TRUE(here->append(kTokens, {}));
      EXPECT_EQ(answer(*timeline, 2), answer(*here, 2));
    }
  }
}

TEST_F(SplitOverDevices, NoLayersOnGpusAreTheCpuAlone) {
  const auto model = load_split(small(), 1, 0);
  EXPECT_EQ(model->info().device, "cpu");
  EXPECT_EQ(all_logits(model, kTokens), all_logits(load(small()), kTokens));
}

TEST_F(SplitOverDevices, SeveralDevicesGiveTheLogitsOfOne) {
  for (const bool deepseek : {true, false}) {
    const ReferenceOptions options = four_layers(deepseek);
    const std::vector<float> want = all_logits(load_split(options, 1, -1), kTokens);
    const auto model = load_split(options, 2, -1);
    ASSERT_EQ(model->info().places.size(), 2u);
    EXPECT_EQ(model->info().places[0].layers + model->info().places[1].layers, 4u);
    EXPECT_GT(model->info().places[0].layers, 0u);
    EXPECT_GT(model->info().places[1].layers, 0u);
    EXPECT_EQ(all_logits(model, kTokens), want);   // to the last bit
    // Decoding, which each device has recorded.
    auto timeline = *Timeline::create(model, {});
    ASSERT_TRUE(timeline->append(kTokens, {}));
    const std::vector<TokenId> answered = answer(*timeline, 2);
    const auto one = load_split(options, 1, -1);
    auto alone = *Timeline::create(one, {});
    ASSERT_TRUE(alone->append(kTokens, {}));
    EXPECT_EQ(answered, answer(*alone, 2));
  }
}

TEST_F(SplitOverDevices, InspectingTellsWhatLoadingDoes) {
  const auto loaded = load_split(four_layers(true), 2, 3, 2);
  LoadOptions options;
  options.context_tokens = 256, options.gpu_layers = 3, options.cpu_experts = 2;
  for (int i = 0; i < 2; ++i) options.open_devices.push_back(std::make_shared<TestDevice>());
  const uint64_t free = options.open_devices[0]->free_bytes();
  const auto inspected = Model::inspect(path_, options);
  ASSERT_TRUE(inspected) << inspected.status().to_string();
  const std::vector<PlaceOfLayers>&want = loaded->info().places, &got = inspected->first.places;
  ASSERT_EQ(got.size(), want.size());
  ASSERT_EQ(got.size(), 3u);   // and the CPU
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].layers, want[i].layers);
    EXPECT_EQ(got[i].weights, want[i].weights);
    EXPECT_GT(got[i].weights, 0u);
    EXPECT_EQ(got[i].kv_cache, want[i].kv_cache);
    EXPECT_EQ(got[i].expert_cache, want[i].expert_cache);
  }
  EXPECT_GT(got[0].cpu_experts, 0u);
  EXPECT_GT(got[0].expert_cache, 0u);   // what is free is counted with it
  EXPECT_LE(got[0].weights + got[0].kv_cache + got[0].scratch + got[0].expert_cache, got[0].room);
  EXPECT_EQ(options.open_devices[0]->free_bytes(), free);   // nothing was put there
  options.memory_budget = 100000;
  const auto refused = Model::inspect(path_, options);
  ASSERT_TRUE(refused);
  EXPECT_THAT(refused->first.device_problem, testing::HasSubstr("MiB on the GPUs"));
}

TEST_F(SplitOverDevices, ASessionThatIsSavedFromSeveralPlacesGoesOnInOne) {
  const ReferenceOptions options = four_layers(true);
  const auto split = load_split(options, 2, 3, 2);   // and experts on the CPU
  EXPECT_EQ(split->info().cpu_layers, 1u);
  EXPECT_GT(split->info().cpu_experts, 0u);
  auto timeline = *Timeline::create(split, {});
  ASSERT_TRUE(timeline->append(kTokens, {}));
  const std::string saved = path_ + ".session";
  ASSERT_TRUE(timeline->save(saved));
  const std::vector<TokenId> want = answer(*timeline, 2);
  for (const auto& model : {split, load_split(options, 1, -1), load(options)}) {
    auto restored = Timeline::restore(model, saved, {});
    ASSERT_TRUE(restored) << restored.status().to_string();
    EXPECT_EQ(answer(**restored, 2), want) << model->info().device << ", " << model->info().cpu_layers << " layers on the CPU";
  }
  std::filesystem::remove(saved);
}

TEST_F(SplitOverDevices, CancellingStopsABatchAndTheNextOneGoesOn) {
  const auto model = load_split(four_layers(true), 2, -1);
  auto timeline = *Timeline::create(model, {});
  ASSERT_TRUE(timeline->append(kTokens, {}));
  CancelSource source;
  source.cancel();
  const TokenId next = 5;
  EXPECT_EQ(timeline->append({&next, 1}, source.token()).code(), StatusCode::cancelled);
  EXPECT_EQ(answer(*timeline, 2).size(), 2u);
}

}  // namespace
}  // namespace wenqu::test
