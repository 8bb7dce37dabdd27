#include "engine/bench.h"

#include <gtest/gtest.h>

#include "engine/cpu/bandwidth.h"
#include "engine/model/work.h"
#include "engine/runtime.h"
#include "tests/engine/model_fixture.h"

namespace wenqu::test {
namespace {

using BenchTest = ModelTest;

// Operations and bytes of one token by the file's own tensors: an independent count.
Work counted(const gguf::File& file, uint64_t experts, uint64_t used) {
  Work work;
  for (const gguf::Tensor& tensor : file.tensors()) {
    const bool embedding = tensor.name == "token_embd.weight" && file.tensor("output.weight");
    if (tensor.n_dims < 2 || embedding) continue;
    const bool of_experts = tensor.name.find("_exps") != std::string_view::npos;
    const double part = of_experts ? static_cast<double>(used) / static_cast<double>(experts) : 1;
    work.operations += 2 * part * static_cast<double>(tensor.elements());
    work.bytes += part * static_cast<double>(tensor.bytes);
  }
  return work;
}

TEST_F(BenchTest, TheWorkOfATokenIsThatOfTheTensorsItGoesThrough) {
  for (const ReferenceOptions& options : {ReferenceOptions{}, ReferenceOptions{.tied = true}, ReferenceOptions{.dense = "qwen3moe"},
                                          ReferenceOptions{.deepseek = true}, ReferenceOptions{.deepseek = true, .q_lora = false}}) {
    const auto model = load(options);
    const Runtime& runtime = model->runtime();
    const Work want = counted(*runtime.file, model->info().experts, model->info().experts_used);
    const Work got = work_of_batch(runtime.config, runtime.weights, 1, 1);
    EXPECT_NEAR(got.operations, want.operations, 1e-6 * want.operations);
    EXPECT_NEAR(got.bytes, want.bytes, 1e-6 * want.bytes);
  }
}

TEST_F(BenchTest, ABatchReadsItsWeightsOnceAndMoreExpertsThanATokenButNeverMoreThanThereAre) {
  const auto dense = load({});
  const auto of = [](const Model& model, size_t tokens, size_t logits) {
    return work_of_batch(model.runtime().config, model.runtime().weights, tokens, logits);
  };
  EXPECT_DOUBLE_EQ(of(*dense, 4, 4).bytes, of(*dense, 1, 1).bytes);
  EXPECT_DOUBLE_EQ(of(*dense, 4, 4).operations, 4 * of(*dense, 1, 1).operations);
  EXPECT_LT(of(*dense, 4, 1).operations, of(*dense, 4, 4).operations);
  EXPECT_LT(of(*dense, 4, 0).bytes, of(*dense, 4, 1).bytes);
  const auto mixture = load({.deepseek = true});
  EXPECT_GT(of(*mixture, 2, 1).bytes, of(*mixture, 1, 1).bytes);
  EXPECT_LE(of(*mixture, 10000, 1).bytes, static_cast<double>(mixture->info().file_bytes));
}

TEST_F(BenchTest, EveryRowAskedForIsMeasured) {
  for (bool deepseek : {false, true}) {
    BenchOptions options;
    options.prompt_tokens = 9, options.decode_tokens = 3, options.sessions = 4, options.depth = 5, options.repetitions = 2;
    options.timeline.max_tokens = 64;
    const Result<BenchReport> report = run_bench(load({.deepseek = deepseek}), options, {});
    ASSERT_TRUE(report) << report.status().to_string();
    std::vector<std::string> tests;
    for (const BenchRow& row : report->rows) {
      tests.push_back(row.test);
      EXPECT_EQ(row.samples.size(), 2u);
      EXPECT_GT(row.tokens_per_second, 0);
      EXPECT_GT(row.bytes_per_second, 0);
      EXPECT_GT(row.operations_per_second, 0);
    }
    EXPECT_EQ(tests, (std::vector<std::string>{"pp9@d5", "tg3@d5", "tg3x4@d5"}));
  }
}

TEST_F(BenchTest, NothingAskedForIsNoRowAndAFullContextIsAnError) {
  BenchOptions options;
  options.prompt_tokens = options.decode_tokens = 0;
  const auto model = load({});
  EXPECT_TRUE(run_bench(model, options, {})->rows.empty());
  options.decode_tokens = 2, options.sessions = 3, options.timeline.max_tokens = 1;
  EXPECT_EQ(run_bench(model, options, {}).status().code(), StatusCode::limit_exceeded);
  CancelSource stopped;
  stopped.cancel();
  options.timeline.max_tokens = 64;
  EXPECT_EQ(run_bench(model, options, stopped.token()).status().code(), StatusCode::cancelled);
}

TEST(Bandwidth, IsThatOfSomeMemory) {
  cpu::ThreadPool pool(2);
  EXPECT_GT(cpu::read_bandwidth(pool), 1e6);
}

}  // namespace
}  // namespace wenqu::test
