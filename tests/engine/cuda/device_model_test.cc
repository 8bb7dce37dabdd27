// Whole models on the emulated device, held against the CPU's forward pass.
#include "engine/device/forward.h"

#include <gmock/gmock.h>

#include "engine/runtime.h"
#include "tests/engine/cuda/emulated_kernels.h"
#include "tests/engine/cuda/emulator.h"
#include "tests/engine/model_fixture.h"

namespace wenqu::test {
namespace {

using engine::device::DeviceModel;

class DeviceModelTest : public ModelTest {
 protected:
  void use(const ReferenceOptions& options) {
    model_ = load(options);
    auto device = DeviceModel::create(device_, model_->runtime().config, model_->runtime().weights, 64, {});
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

  std::shared_ptr<Emulator> device_ = std::make_shared<Emulator>(emulated_kernels());
  std::shared_ptr<const Model> model_;
  std::unique_ptr<DeviceModel> on_device_;
  std::shared_ptr<MemoryAccount> account_;
};

struct Named {
  std::string name;
  ReferenceOptions options;
};
class AnyModelOnADevice : public DeviceModelTest, public testing::WithParamInterface<Named> {};

TEST_P(AnyModelOnADevice, GivesTheLogitsOfTheCpuForPromptsAndForSingleTokens) {
  use(GetParam().options);
  const std::vector<float> want = all_logits(model_, kTokens);
  for (size_t piece : {kTokens.size(), size_t{5}, size_t{1}}) {
    KvCache own = cache();
    const std::vector<float> got = read(own, kTokens, piece);
    ASSERT_EQ(got.size(), want.size());
    EXPECT_LT(distance(got, want), 0.01) << piece << " at a time";
  }
}

std::vector<Named> all_models() {
  std::vector<Named> models;
  for (const char* dense : {"qwen2", "llama", "qwen3", "qwen3moe"}) models.push_back({dense, {}}), models.back().options.dense = dense;
  models.push_back({"tied_qwen2", {}}), models.back().options.tied = true;
  models.push_back({"deepseek3", {}}), models.back().options.deepseek = true;
  models.push_back(models.back()), models.back().name = "deepseek2", models.back().options.q_lora = models.back().options.sigmoid = false;
  return models;
}

INSTANTIATE_TEST_SUITE_P(Architectures, AnyModelOnADevice, testing::ValuesIn(all_models()), [](const auto& model) { return model.param.name; });

}  // namespace
}  // namespace wenqu::test
