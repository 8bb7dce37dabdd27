#include "engine/model/repack.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "engine/quant/requantize.h"
#include "engine/runtime.h"
#include "tests/engine/model_fixture.h"

namespace wenqu::engine {
namespace {

using test::kTokens;
using test::ReferenceModel;
using test::ReferenceOptions;

class RepackTest : public test::ModelTest {
 protected:
  void TearDown() override {
    ModelTest::TearDown();
    std::filesystem::remove(path_ + ".q");
  }
  // Writes a model of quantized weights.
  void write(const ReferenceOptions& options, const std::string& mix) {
    ReferenceModel(options).writer().write(path_ + ".q");
    const auto report = quant::requantize({path_ + ".q", path_, mix, 2, {}}, {});
    ASSERT_TRUE(report) << report.status().to_string();
  }
  Result<std::shared_ptr<const Model>> open(bool repack, LoadOptions load = {}) {
    load.threads = 2, load.prefix_cache_bytes = 0, load.repack = repack ? Repack::always : Repack::never;
    return Model::load(path_, load);
  }
};

TEST_F(RepackTest, ARepackedModelGivesTheSameLogitsToTheLastBit) {
  for (const ReferenceOptions& options : {ReferenceOptions{.tied = true}, ReferenceOptions{.deepseek = true}, ReferenceOptions{.deepseek = true, .mla_form = ReferenceOptions::MlaForm::joined},
                                          ReferenceOptions{.dense = "qwen3moe"}, ReferenceOptions{.joined_qkv = true}})
    for (const char* mix : {"Q8_0", "Q5_0", "Q4_0", "F16"}) {
      ASSERT_NO_FATAL_FAILURE(write(options, mix));
      const auto mapped = open(false), repacked = open(true);
      ASSERT_TRUE(mapped && repacked) << repacked.status().to_string();
      EXPECT_EQ((*mapped)->info().repacked_bytes, 0u);
      EXPECT_GT((*repacked)->info().repacked_bytes, (*repacked)->info().file_bytes / 2);
      std::vector<TokenId> many;   // a prompt's kernels, and those of a few tokens
      for (size_t i = 0; i < 60; ++i) many.push_back(kTokens[i % kTokens.size()]);
      EXPECT_EQ(all_logits(*repacked, many), all_logits(*mapped, many)) << mix;
      EXPECT_EQ(all_logits(*repacked, {5}), all_logits(*mapped, {5})) << mix;
      EXPECT_EQ(all_logits(*repacked, {5, 77, 13}), all_logits(*mapped, {5, 77, 13})) << mix;
    }
}

TEST_F(RepackTest, RowsOfATypeThatCanLieSideBySideDo) {
  ASSERT_NO_FATAL_FAILURE(write({.deepseek = true}, "Q8_0"));
  const auto model = open(true);
  ASSERT_TRUE(model);
  const Weights& weights = (*model)->runtime().weights;
  size_t interleaved = 0;
  for (const Layer& layer : weights.layers)
    for (const Matrix* matrix : {&layer.q_a, &layer.kv_a, &layer.attention_output, &layer.gate, &layer.expert_down, &layer.v_b})
      interleaved += matrix->interleaved;
  if (cpu::kernels(cpu::best_isa()).gain_by_interleaving) EXPECT_GT(interleaved, weights.layers.size());
  else EXPECT_EQ(interleaved, 0u);
  EXPECT_FALSE(weights.embedding.interleaved) << "rows of it are looked up";
}

TEST_F(RepackTest, WeightsOfAFileInMemoryAreRepackedToo) {
  const std::string bytes = ReferenceModel({.deepseek = true}).writer().bytes();
  LoadOptions load;
  load.repack = Repack::always;
  const auto model = Model::load(*gguf::File::parse(std::as_bytes(std::span(bytes))), load);
  ASSERT_TRUE(model) << model.status().to_string();
  EXPECT_EQ(all_logits(*model, kTokens), all_logits(this->load({.deepseek = true}), kTokens));
}

TEST_F(RepackTest, ABudgetBelowTheWeightsIsAnErrorThatSaysWhatWouldHelp) {
  ASSERT_NO_FATAL_FAILURE(write({.deepseek = true}, "Q8_0"));
  LoadOptions load;
  load.context_tokens = 64, load.prefix_cache_bytes = 0;
  const MemoryEstimate needs = Model::inspect(path_, load)->second;
  load.memory_budget = (needs.least + needs.total()) / 2;
  EXPECT_TRUE(open(false, load)) << "experts are read on demand";
  const Status status = open(true, load).status();
  EXPECT_EQ(status.code(), StatusCode::out_of_memory);
  EXPECT_NE(status.message().find("without repacked weights"), std::string::npos) << status.message();
  load.memory_budget = needs.total();
  EXPECT_TRUE(open(true, load));
}

TEST_F(RepackTest, WhereMemoryIsAmpleWeightsAreRepackedAndElseTheyStayMapped) {
  ASSERT_NO_FATAL_FAILURE(write({.deepseek = true, .layers = 12}, "Q8_0"));
  LoadOptions load;
  load.threads = 2, load.context_tokens = 1, load.prefix_cache_bytes = 0, load.repack = Repack::when_ample;   // weights are most of what is needed
  const uint64_t copy = (*open(true))->info().repacked_bytes;
  const MemoryEstimate needs = Model::inspect(path_, load)->second;
  load.memory_budget = 2 * copy;
  ASSERT_GE(load.memory_budget, needs.total());
  EXPECT_EQ((*Model::load(path_, load))->info().repacked_bytes, copy);
  load.memory_budget = (needs.least + needs.total()) / 2;
  const auto on_demand = Model::load(path_, load);
  ASSERT_TRUE(on_demand) << "experts are read on demand: " << on_demand.status().to_string();
  EXPECT_EQ((*on_demand)->info().repacked_bytes, 0u);
  load.memory_budget = 2 * copy - 1;
  ASSERT_GE(load.memory_budget, needs.total()) << "nothing would be read on demand";
  EXPECT_EQ((*Model::load(path_, load))->info().repacked_bytes, 0u);
}

TEST_F(RepackTest, LoadingTellsHowFarItIsAndCanBeStoppedBetweenMatrices) {
  ASSERT_NO_FATAL_FAILURE(write({.deepseek = true}, "Q8_0"));
  std::vector<double> told;
  LoadOptions load;
  load.progress = [&](double fraction) { return told.push_back(fraction), true; };
  ASSERT_TRUE(open(true, load));
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
  EXPECT_GT(told.size(), 20u);
  load.progress = [](double fraction) { return fraction < 0.5; };
  EXPECT_EQ(open(true, load).status().code(), StatusCode::cancelled);
}

}  // namespace
}  // namespace wenqu::engine
