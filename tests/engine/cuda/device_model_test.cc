// Whole models on the emulated device, held against the CPU's forward pass.
#include "engine/device/forward.h"

#include <gmock/gmock.h>

#include "engine/cuda/kernel_list.h"
#include "tests/engine/cuda/device_model_fixture.h"

namespace wenqu::test {
namespace {

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

// A prompt long enough for warpgroups, where they are.
TEST_P(AnyModelOnADevice, GivesTheLogitsOfTheCpuForALongPromptByWarpgroups) {
  if (!device_->emulator()) GTEST_SKIP() << "a GPU has warpgroups or not";
  device_->emulator()->set_warpgroups(true);
  use(GetParam().options, "F16");
  std::vector<TokenId> tokens;
  for (int i = 0; i < 64; ++i) tokens.push_back(kTokens[static_cast<size_t>(i % 7)] + i % 5);
  KvCache own = cache();
  const size_t before = device_->emulator()->launches_of(Kernels::number<engine::cuda::HalveRows>());
  const std::vector<float> got = read(own, tokens, tokens.size()), want = all_logits(model_, tokens);
  ASSERT_EQ(got.size(), want.size());
  // Of the tokens one by one: a choice of experts that was a near thing may fall otherwise.
  std::vector<double> distances;
  const size_t vocabulary = model_->info().vocabulary;
  for (size_t at = 0; at < got.size(); at += vocabulary)
    distances.push_back(distance(std::span(got).subspan(at, vocabulary), std::span(want).subspan(at, vocabulary)));
  std::sort(distances.begin(), distances.end());
  EXPECT_LT(distances[distances.size() * 3 / 4], 0.01);
  EXPECT_LT(distances.back(), 0.3);
  EXPECT_GT(device_->emulator()->launches_of(Kernels::number<engine::cuda::HalveRows>()), before);
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

TEST_F(TimelineOnADevice, AnswersAsOnTheCpu) {
  const auto on_device = load_on_device(small());
  EXPECT_EQ(on_device->info().device, device_->info().name);
  auto there = *Timeline::create(on_device, {});
  ASSERT_TRUE(there->append(kTokens, {}));
  const std::vector<TokenId> got = answer(*there, 6);
  const auto on_cpu = load(small());
  EXPECT_EQ(on_cpu->info().device, "cpu");
  auto here = *Timeline::create(on_cpu, {});
  ASSERT_TRUE(here->append(kTokens, {}));
  EXPECT_EQ(got, answer(*here, 6));
}

// With the routed experts of some layers on the CPU, with and without shared ones.
TEST_F(TimelineOnADevice, LeavesExpertsToTheCpuAndAnswersTheSame) {
  ReferenceOptions without_shared;
  without_shared.dense = "qwen3moe", without_shared.layers = 2;
  for (const ReferenceOptions& options : {small(), without_shared}) {
    const auto on_cpu = load(options);
    const std::vector<float> want = all_logits(on_cpu, kTokens);
    for (int layers : {1, 100}) {
      LoadOptions load;
      load.open_devices = {device_};
      load.cpu_experts = layers;
      const auto model = Model::load(path_, load);
      ASSERT_TRUE(model) << model.status().to_string();
      EXPECT_EQ((*model)->info().cpu_experts, std::min<size_t>(static_cast<size_t>(layers), on_cpu->runtime().weights.mixtures().size()));
      EXPECT_LT(distance(all_logits(*model, kTokens), want), 0.01) << layers;
    }
  }
}

TEST_F(TimelineOnADevice, ASmallMemoryLeavesAsManyExpertsToTheCpuAsItMust) {
  const auto whole = load_on_device(small());
  EXPECT_EQ(whole->info().cpu_experts, 0u);
  const uint64_t needed = DeviceModel::needs(whole->runtime().config, whole->runtime().weights, {.layers = {0, whole->info().layers}}).total();
  const auto model = load_on_device(small(), needed);   // less than its context asks for
  EXPECT_GT(model->info().cpu_experts, 0u);
  auto timeline = *Timeline::create(model, {});
  ASSERT_TRUE(timeline->append(kTokens, {}));
  EXPECT_EQ(answer(*timeline, 2).size(), 2u);
}

TEST_F(TimelineOnADevice, DecodingIsRecordedOnceAndLaunchedWhole) {
  if (!device_->emulator()) GTEST_SKIP() << "a GPU does not tell";
  const auto model = load_on_device(small());
  auto timeline = *Timeline::create(model, {});
  ASSERT_TRUE(timeline->append(kTokens, {}));
  answer(*timeline, 2);
  const size_t recordings = device_->emulator()->recordings();
  EXPECT_GE(recordings, 1u);
  answer(*timeline, 5);
  EXPECT_EQ(device_->emulator()->recordings(), recordings);
}

// What a token costs beside reading the weights. Here heads are no whole blocks of 32 numbers, so what attention gives is
// rounded by a launch of its own.
TEST_F(TimelineOnADevice, ATokenTakesFewLaunches) {
  if (!device_->emulator()) GTEST_SKIP() << "a GPU does not tell";
  const auto of_a_token = [&](const ReferenceOptions& options) {
    const auto model = load_on_device(options);
    auto timeline = *Timeline::create(model, {});
    EXPECT_TRUE(timeline->append(kTokens, {}));
    answer(*timeline, 1);
    const size_t before = device_->emulator()->kernel_launches();
    answer(*timeline, 1);
    return device_->emulator()->kernel_launches() - before;
  };
  ReferenceOptions mixture = small(), dense;
  mixture.q_lora = false, dense.layers = 2;
  EXPECT_EQ(of_a_token(mixture), 3u + 10 + 11);   // embedding, first norm and logits; a dense layer, one with experts
  EXPECT_EQ(of_a_token(dense), 3u + 2 * 7);
}

TEST_F(TimelineOnADevice, ForksShareTheirBeginningAndGoTheirOwnWays) {
  const auto model = load_on_device(small());
  auto first = *Timeline::create(model, {});
  ASSERT_TRUE(first->append(kTokens, {}));
  auto second = *first->fork();
  ASSERT_TRUE(second->append(std::vector<TokenId>{9, 8, 7}, {}));
  const std::vector<TokenId> alone = answer(*first, 4);
  auto again = *Timeline::create(model, {.share_prefixes = false});
  ASSERT_TRUE(again->append(kTokens, {}));
  EXPECT_EQ(answer(*again, 4), alone);
}

TEST_F(TimelineOnADevice, SavedSessionsGoOnWhereTheyWere) {
  const auto model = load_on_device(small());
  auto timeline = *Timeline::create(model, {});
  ASSERT_TRUE(timeline->append(kTokens, {}));
  const std::string saved = path_ + ".session";
  ASSERT_TRUE(timeline->save(saved));
  const std::vector<TokenId> want = answer(*timeline, 4);
  auto restored = Timeline::restore(model, saved, {});
  ASSERT_TRUE(restored) << restored.status().to_string();
  EXPECT_EQ(answer(**restored, 4), want);
  std::filesystem::remove(saved);
}

TEST_F(TimelineOnADevice, ContextsOfSeveralPagesAreReadInEveryKvType) {
  ReferenceOptions options;
  options.layers = 1;
  use(options);
  std::vector<TokenId> tokens;
  for (int i = 0; i < 270; ++i) tokens.push_back(i * 7 % 250);
  auto on_cpu = *Timeline::create(model_, {.kv_type = KvType::f32});
  const std::vector<float> all = *on_cpu->append_with_logits(tokens, {});
  const size_t vocabulary = model_->info().vocabulary;
  const std::span<const float> want = std::span(all).last(vocabulary);
  for (KvType type : {KvType::f16, KvType::q8_0, KvType::fp8}) {
    KvCache own = cache(type);
    std::vector<float> logits;
    ASSERT_TRUE(own.resize(tokens.size()));
    for (size_t at = 0; at < tokens.size(); at += 64) {
      const auto some = std::span(tokens).subspan(at, std::min<size_t>(64, tokens.size() - at));
      logits.clear();
      const Sequence sequence{.tokens = some, .position = at, .cache = &own, .wanted = Sequence::Logits::last, .logits = &logits};
      const Status status = on_device_->forward({&sequence, 1}, {});
      ASSERT_TRUE(status) << status.to_string();
    }
    EXPECT_LT(distance(logits, want), type == KvType::fp8 ? 0.1 : type == KvType::q8_0 ? 0.03 : 0.01) << kv_type_name(type);
  }
}

TEST_F(TimelineOnADevice, SequencesOfOneBatchDoNotTouchEachOther) {
  use(small());
  const std::vector<TokenId> first(kTokens.begin(), kTokens.begin() + 5), second(kTokens.rbegin(), kTokens.rbegin() + 9);
  KvCache alone_first = cache(), alone_second = cache(), one = cache(), two = cache();
  const std::vector<float> want_first = read(alone_first, first, first.size()), want_second = read(alone_second, second, second.size());
  ASSERT_TRUE(one.resize(first.size()));
  ASSERT_TRUE(two.resize(second.size()));
  std::vector<float> got_first, got_second;
  const std::array batch = {Sequence{.tokens = first, .cache = &one, .wanted = Sequence::Logits::all, .logits = &got_first},
                            Sequence{.tokens = second, .cache = &two, .wanted = Sequence::Logits::last, .logits = &got_second}};
  const Status status = on_device_->forward(batch, {});
  ASSERT_TRUE(status) << status.to_string();
  EXPECT_LT(distance(got_first, want_first), 1e-3);
  EXPECT_LT(distance(got_second, std::span(want_second).last(got_second.size())), 1e-3);
}

// Prompts of MLA are expanded where that pays: here from 33 tokens on. Beside them other sequences keep to the latents.
TEST_F(TimelineOnADevice, LongPromptsOfLatentAttentionAreExpandedAndGiveTheSame) {
  use(small());
  std::vector<TokenId> tokens;
  for (int i = 0; i < 64; ++i) tokens.push_back(i * 37 % 250);
  auto on_cpu = *Timeline::create(model_, {.kv_type = KvType::f32, .deterministic = true});
  const std::vector<float> all = *on_cpu->append_with_logits(tokens, {});
  const size_t vocabulary = model_->info().vocabulary;
  const auto expansions = [&] {
    return device_->emulator() ? device_->emulator()->launches_of(engine::cuda::Kernels::number<engine::cuda::ExpandLatents>()) : 0;
  };
  KvCache own = cache(KvType::f16);
  const std::vector<float> prompt = read(own, std::span(tokens).first(24), 24);
  EXPECT_EQ(expansions(), 0u);
  KvCache other = cache(KvType::f16);
  ASSERT_TRUE(other.resize(36));
  ASSERT_TRUE(own.resize(25));
  std::vector<float> of_prompt, of_one;
  const std::array batch = {Sequence{.tokens = std::span(tokens).first(36), .cache = &other, .wanted = Sequence::Logits::all, .logits = &of_prompt},
                            Sequence{.tokens = std::span(tokens).subspan(24, 1), .position = 24, .cache = &own, .logits = &of_one}};
  const Status status = on_device_->forward(batch, {});
  ASSERT_TRUE(status) << status.to_string();
  const size_t layers = device_->emulator() ? 2 : 0;
  EXPECT_EQ(expansions(), layers);
  EXPECT_LT(distance(of_prompt, std::span(all).first(36 * vocabulary)), 0.01);
  EXPECT_LT(distance(of_one, std::span(all).subspan(24 * vocabulary, vocabulary)), 0.01);

  of_prompt.clear();
  ASSERT_TRUE(own.resize(25));
  Sequence same = batch[0];
  same.deterministic = true;
  ASSERT_TRUE(on_device_->forward({&same, 1}, {}));
  EXPECT_EQ(expansions(), layers);
}

TEST_F(TimelineOnADevice, AModelThatDoesNotFitIsRefusedWithFigures) {
  ReferenceModel(small()).writer().write(path_);
  LoadOptions load;
  load.open_devices = {std::make_shared<Emulator>(emulated_kernels(), size_t{1} << 20)};
  const auto model = Model::load(path_, load);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.status().code(), StatusCode::out_of_memory);
  EXPECT_THAT(model.status().to_string(), testing::HasSubstr("MiB on the GPU (weights but for routed experts 1, KV cache"));
}

TEST_F(TimelineOnADevice, WhetherPromptsAreMultipliedByWarpgroupsIsTold) {
  if (!device_->emulator()) GTEST_SKIP() << "a GPU has warpgroups or not";
  EXPECT_EQ(load_on_device(small())->info().warpgroups, "");
  device_->emulator()->set_warpgroups(true);
  EXPECT_EQ(load_on_device(small())->info().warpgroups, "used");
  device_->emulator()->set_warpgroups(false, "switched off");
  EXPECT_EQ(load_on_device(small())->info().warpgroups, "not used: switched off");
}

// A device that failed is not taken for one that is full.
TEST_F(TimelineOnADevice, SessionsOfADeviceThatFailedAreToldWhatItSaid) {
  if (!device_->emulator()) GTEST_SKIP() << "a GPU would stay lost";
  use(small());
  KvCache before = cache();
  ASSERT_TRUE(before.resize(3));
  KvCache fork = *before.fork();
  const Status fault = engine::cuda::launch<engine::cuda::AddRows>(*device_, {1}, {nullptr, nullptr, 1});
  ASSERT_FALSE(fault);
  for (KvCache* const one : {&before, &fork}) {
    const Status status = one->resize(KvCache::kSegmentTokens + 1);
    EXPECT_EQ(status.code(), StatusCode::internal);
    EXPECT_EQ(status.message(), fault.message());
  }
  EXPECT_EQ(fork.resize(4).message(), fault.message());   // which asks for a page of its own
}

TEST_F(TimelineOnADevice, CancellingStopsABatch) {
  use(small());
  KvCache own = cache();
  ASSERT_TRUE(own.resize(kTokens.size()));
  std::vector<float> logits;
  CancelSource source;
  source.cancel();
  const Sequence sequence{.tokens = kTokens, .cache = &own, .logits = &logits};
  EXPECT_EQ(on_device_->forward({&sequence, 1}, source.token()).code(), StatusCode::cancelled);
  EXPECT_TRUE(on_device_->forward({&sequence, 1}, {}));
}

}  // namespace
}  // namespace wenqu::test
