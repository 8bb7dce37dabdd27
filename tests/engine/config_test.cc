#include "engine/model/config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "engine/gguf/file.h"
#include "tests/support/gguf_writer.h"

namespace wenqu::engine {
namespace {

using test::GgufWriter;

// The metadata of a DeepSeek-like model, with what a test adds.
Result<Config> read_deepseek(uint32_t experts, uint32_t gating, const std::function<void(GgufWriter&)>& add) {
  GgufWriter w;
  w.set_string("general.architecture", "deepseek2");
  w.set_u32("deepseek2.block_count", 61);
  w.set_u32("deepseek2.context_length", 163840);
  w.set_u32("deepseek2.embedding_length", 7168);
  w.set_u32("deepseek2.feed_forward_length", 18432);
  w.set_u32("deepseek2.attention.head_count", 128);
  w.set_f32("deepseek2.attention.layer_norm_rms_epsilon", 1e-6f);
  w.set_u32("deepseek2.attention.q_lora_rank", 1536);
  w.set_u32("deepseek2.attention.kv_lora_rank", 512);
  w.set_u32("deepseek2.attention.key_length", 192);
  w.set_u32("deepseek2.attention.value_length", 128);
  w.set_u32("deepseek2.rope.dimension_count", 64);
  w.set_u32("deepseek2.expert_count", experts);
  w.set_u32("deepseek2.expert_used_count", 8);
  w.set_u32("deepseek2.expert_feed_forward_length", 2048);
  w.set_u32("deepseek2.expert_gating_func", gating);
  if (add) add(w);
  const std::string path = testing::TempDir() + "wenqu_config_" + std::to_string(::getpid());
  w.write(path);
  const auto file = gguf::File::open(path);
  EXPECT_TRUE(file) << file.status().to_string();
  std::filesystem::remove(path);
  return read_config(**file);
}
Config deepseek(uint32_t experts, uint32_t gating, const std::function<void(GgufWriter&)>& add = {}) {
  const Result<Config> config = read_deepseek(experts, gating, add);
  EXPECT_TRUE(config) << config.status().to_string();
  return *config;
}

void yarn(GgufWriter& w, float factor, float log_multiplier) {
  w.set_string("deepseek2.rope.scaling.type", "yarn");
  w.set_f32("deepseek2.rope.scaling.factor", factor);
  w.set_u32("deepseek2.rope.scaling.original_context_length", 4096);
  w.set_f32("deepseek2.rope.scaling.yarn_log_multiplier", log_multiplier);
}

TEST(Config, GroupsThatOldFilesDoNotStateAreDeepSeeksOwn) {
  const ops::RouterConfig v3 = deepseek(256, 2).moe.router, v2 = deepseek(160, 1).moe.router, lite = deepseek(64, 1).moe.router;
  EXPECT_EQ(v3.groups, 8u);
  EXPECT_EQ(v3.groups_used, 4u);
  EXPECT_EQ(v2.groups, 8u);
  EXPECT_EQ(v2.groups_used, 3u);
  EXPECT_EQ(lite.groups, 1u);
  const ops::RouterConfig stated = deepseek(256, 2, [](GgufWriter& w) {
                                     w.set_u32("deepseek2.expert_group_count", 4);
                                     w.set_u32("deepseek2.expert_group_used_count", 2);
                                   }).moe.router;
  EXPECT_EQ(stated.groups, 4u);
  EXPECT_EQ(stated.groups_used, 2u);
}

// Scales of the softmax from the published configurations: (0.1 mscale_all_dim ln(factor) + 1)^2 / sqrt(192).
TEST(Config, YarnScalesTheSoftmaxAsDeepSeekDoes) {
  EXPECT_NEAR(deepseek(256, 2, [](GgufWriter& w) { yarn(w, 40, 0.1f); }).attention_scale, 0.1352338, 1e-6);
  EXPECT_NEAR(deepseek(64, 1, [](GgufWriter& w) { yarn(w, 40, 0.0707f); }).attention_scale, 0.1147214, 1e-6);
  EXPECT_NEAR(deepseek(384, 2, [](GgufWriter& w) { yarn(w, 32, 0.1f); }).attention_scale, 0.1308608, 1e-6);
  EXPECT_NEAR(deepseek(64, 1).attention_scale, 1 / std::sqrt(192.0), 1e-7);
}

TEST(Config, YarnKeepsFastPairsAndStretchesSlowOnes) {
  const auto turns = [](uint32_t i) { return std::pow(10000, -static_cast<double>(i) / 32); };
  const auto v3 = deepseek(256, 2, [](GgufWriter& w) { yarn(w, 40, 0.1f); }).rope.frequencies;
  ASSERT_EQ(v3.size(), 32u);
  for (uint32_t i = 0; i <= 10; ++i) EXPECT_DOUBLE_EQ(v3[i], turns(i));
  for (uint32_t i = 23; i < 32; ++i) EXPECT_DOUBLE_EQ(v3[i], turns(i) / 40);
  EXPECT_LT(v3[11], turns(11));
}

TEST(Config, YarnsKnobsAreLeftAsTheyAreOrRefused) {
  const auto with = [](const char* key, float value, bool scaled = true) {
    return read_deepseek(256, 2, [&](GgufWriter& w) {
      if (scaled) yarn(w, 40, 0.1f);
      w.set_f32(std::string("deepseek2.rope.scaling.") + key, value);
    }).status();
  };
  const auto own = static_cast<float>(1 + 0.1 * std::log(40));
  for (const float usual : {1.0f, -1.0f, own}) EXPECT_TRUE(with("yarn_attn_factor", usual)) << usual;
  for (const float usual : {1.0f, -1.0f}) EXPECT_TRUE(with("yarn_ext_factor", usual)) << usual;
  EXPECT_TRUE(with("yarn_ext_factor", 0, false));
  for (const char* key : {"yarn_attn_factor", "yarn_ext_factor"}) {
    const Status status = with(key, 0.5f);
    EXPECT_EQ(status.code(), StatusCode::unsupported) << key;
    EXPECT_NE(status.where().find(key), std::string::npos) << status.to_string();
  }
  EXPECT_EQ(with("yarn_attn_factor", own, false).code(), StatusCode::unsupported);
}

TEST(Config, ATextThatIsStoredAsANumberIsNotTakenForAbsent) {
  const Status status = read_deepseek(256, 2, [](GgufWriter& w) { w.set_u32("deepseek2.rope.scaling.type", 2); }).status();
  EXPECT_EQ(status.code(), StatusCode::corrupt);
  EXPECT_NE(status.where().find("rope.scaling.type"), std::string::npos) << status.to_string();
}

TEST(Config, KimiK2sBetasAreOneWhereItsFileDoesNotSay) {
  const auto kimi = [](const std::function<void(GgufWriter&)>& add) {
    return deepseek(384, 2, [&](GgufWriter& w) {
             w.set_f32("deepseek2.rope.freq_base", 50000);
             yarn(w, 32, 0.1f);
             if (add) add(w);
           }).rope.frequencies;
  };
  const auto stated = [&](float fast) {
    return kimi([=](GgufWriter& w) {
      w.set_f32("deepseek2.rope.scaling.yarn_beta_fast", fast);
      w.set_f32("deepseek2.rope.scaling.yarn_beta_slow", 1);
    });
  };
  EXPECT_EQ(kimi({}), stated(1));
  EXPECT_NE(kimi({}), stated(32));
}

}  // namespace
}  // namespace wenqu::engine
