// Models on the emulated device, of which tests ask what the CPU gives too.
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/device/split.h"
#include "engine/runtime.h"
#include "tests/engine/cuda/test_device.h"
#include "engine/quant/requantize.h"
#include "tests/engine/model_fixture.h"

namespace wenqu::test {

using engine::device::DeviceModel;
using engine::device::LayerRange;
using engine::device::Split;
using engine::device::SplitModel;

class DeviceModelTest : public ModelTest {
 protected:
  // mix: quantized weights, such as Q8_0.
  void use(const ReferenceOptions& options, const std::string& mix = "F32") {
    model_ = load(options);
    if (mix != "F32") {
      const std::string quantized = path_ + ".quantized";
      const auto report = engine::quant::requantize({path_, quantized, mix, 2, {}}, {});
      ASSERT_TRUE(report) << report.status().to_string();
      std::filesystem::rename(quantized, path_);
      LoadOptions options_of_load;
      options_of_load.threads = 2, options_of_load.prefix_cache_bytes = 0;
      model_ = *Model::load(path_, options_of_load);
    }
    Split split{.shares = {{device_, {0, model_->runtime().config.layers}}}, .batch_tokens = 64};
    auto device = SplitModel::create(model_->runtime().config, model_->runtime().weights, std::move(split), {});
    ASSERT_TRUE(device) << device.status().to_string();
    on_device_ = std::move(*device);
    account_ = std::make_shared<MemoryAccount>(MemoryAccount::kNoLimit, 0, on_device_->segment_memory());
  }
  KvCache cache(KvType type = KvType::f32) const { return KvCache(kv_shape(model_->runtime().config, type), account_); }

  // The logits after each of the tokens, read in pieces.
  std::vector<float> read(KvCache& cache, std::span<const TokenId> tokens, size_t piece) {
    std::vector<float> logits;
    for (size_t at = 0; at < tokens.size(); at += piece) {
      const auto some = tokens.subspan(at, std::min(piece, tokens.size() - at));
      EXPECT_TRUE(cache.resize(at + some.size()));
      const Sequence sequence{.tokens = some, .position = at, .cache = &cache, .wanted = Sequence::Logits::all, .logits = &logits};
      const Status status = on_device_->forward({&sequence, 1}, {});
      EXPECT_TRUE(status) << status.to_string();
    }
    return logits;
  }

  std::shared_ptr<TestDevice> device_ = std::make_shared<TestDevice>();
  std::shared_ptr<const Model> model_;
  std::unique_ptr<SplitModel> on_device_;
  std::shared_ptr<MemoryAccount> account_;
};

// A model that was loaded on the device, as its users see it.
class TimelineOnADevice : public DeviceModelTest {
 protected:
  std::shared_ptr<const Model> load_on_device(const ReferenceOptions& options, uint64_t budget = 0) {
    ReferenceModel(options).writer().write(path_);
    LoadOptions load;
    load.open_devices = {device_};
    load.memory_budget = budget;
    load.context_tokens = 256;
    auto model = Model::load(path_, load);
    EXPECT_TRUE(model) << model.status().to_string();
    return *model;
  }
  static TokenId best(std::span<const float> logits) {
    return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  // A prompt and what the model says to it, ever the likeliest token.
  static std::vector<TokenId> answer(Timeline& timeline, size_t tokens) {
    std::vector<TokenId> out;
    for (size_t i = 0; i < tokens; ++i) {
      out.push_back(best(timeline.logits()));
      const Status status = timeline.append({&out.back(), 1}, {});
      EXPECT_TRUE(status) << status.to_string();
    }
    return out;
  }

  ReferenceOptions small() const {
    ReferenceOptions options;
    options.deepseek = true, options.layers = 2;
    return options;
  }
};

}  // namespace wenqu::test
