#include "engine/quant/requantize.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/gguf/file.h"
#include "engine/timeline.h"
#include "tests/support/reference_model.h"

namespace wenqu::engine::quant {
namespace {

using gguf::Type;

TEST(Mix, NamesAreFoundWhateverTheirCaseAndOthersAreToldTheList) {
  EXPECT_EQ(find_mix("q4_k_m")->file_type, 15u);
  EXPECT_EQ(find_mix("Q8_0")->type, Type::q8_0);
  const Status status = find_mix("Q9").status();
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_NE(status.message().find("Q4_K_M"), std::string::npos);
}

TEST(Mix, RowsThatAreNoWholeBlocksGetTheNearestTypeThatFits) {
  EXPECT_EQ(fitting_type(Type::q4_k, 512), Type::q4_k);
  EXPECT_EQ(fitting_type(Type::q4_k, 96), Type::q5_0);
  EXPECT_EQ(fitting_type(Type::q5_k, 96), Type::q5_1);
  EXPECT_EQ(fitting_type(Type::q6_k, 96), Type::q8_0);
  EXPECT_EQ(fitting_type(Type::q2_k, 96), Type::iq4_nl);
  EXPECT_EQ(fitting_type(Type::q8_0, 33), Type::f16);
  EXPECT_EQ(fitting_type(Type::f32, 33), Type::f32);
}

TEST(Mix, VectorsNormsAndRoutersStayAsTheyAre) {
  const Mix mix = *find_mix("Q4_K");
  const uint64_t vector[] = {256}, matrix[] = {256, 8};
  EXPECT_EQ(choose_type(mix, {}, "output_norm.weight", vector), std::nullopt);
  EXPECT_EQ(choose_type(mix, {}, "blk.0.attn_q.bias", vector), std::nullopt);
  EXPECT_EQ(choose_type(mix, {}, "blk.0.ffn_gate_inp.weight", matrix), std::nullopt);
  EXPECT_EQ(choose_type(mix, {}, "blk.0.ffn_gate.weight", matrix), Type::q4_k);
}

TEST(Mix, WhereErrorsCostMostTheMixHasMoreBits) {
  const Mix mix = *find_mix("Q4_K_M");
  const ModelShape shape{16, false};
  const uint64_t matrix[] = {256, 8};
  EXPECT_EQ(choose_type(mix, shape, "output.weight", matrix), Type::q6_k);
  EXPECT_EQ(choose_type(mix, shape, "token_embd.weight", matrix), Type::q4_k);
  EXPECT_EQ(choose_type(mix, {16, true}, "token_embd.weight", matrix), Type::q6_k) << "it is the output, too";
  std::string more;
  for (int layer = 0; layer < 16; ++layer)
    more += choose_type(mix, shape, "blk." + std::to_string(layer) + ".ffn_down_exps.weight", matrix) == Type::q6_k ? '1' : '0';
  EXPECT_EQ(more, "1100100100100111");
  EXPECT_EQ(choose_type(mix, shape, "blk.0.ffn_up.weight", matrix), Type::q4_k);
}

class RequantizeTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "wenqu_requantize_" + std::to_string(::getpid()) + "_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  void TearDown() override {
    for (const char* end : {"", ".q", ".r"}) std::filesystem::remove(path_ + end);
  }

  Result<RequantizeReport> run(const std::string& in, const std::string& out, const std::string& mix, int threads = 2) {
    return requantize({in, out, mix, threads, {}}, {});
  }

  static std::vector<float> logits(const std::string& path) {
    LoadOptions load;
    load.threads = 1;
    const auto model = Model::load(path, load);
    EXPECT_TRUE(model) << model.status().to_string();
    return *(*Timeline::create(*model, {.kv_type = KvType::f32}))->append_with_logits(std::vector<TokenId>{260, 5, 77, 200, 13}, {});
  }

  static double distance(const std::vector<float>& a, const std::vector<float>& b) {
    double error = 0, size = 0;
    for (size_t i = 0; i < a.size(); ++i) error += std::pow(a[i] - b[i], 2), size += static_cast<double>(a[i]) * a[i];
    return std::sqrt(error / size);
  }

  static std::string content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string path_;
};

TEST_F(RequantizeTest, ActivationsBeyondHalfFloatsPassThroughQuantizedWeights) {
  // Products around 10^7 go into the down projection, as V3 has them beyond 65504.
  test::ReferenceModel({.weight_scale = 3000}).writer().write(path_);
  const std::vector<float> want = logits(path_);
  for (const char* mix : {"Q8_0", "Q5_0", "Q5_1", "Q4_1"}) {
    ASSERT_TRUE(run(path_, path_ + ".q", mix));
    const std::vector<float> got = logits(path_ + ".q");
    for (const float logit : got) ASSERT_TRUE(std::isfinite(logit)) << mix;
    EXPECT_LT(distance(want, got), std::string(mix) == "Q8_0" ? 0.1 : 0.7) << mix;
  }
}

TEST_F(RequantizeTest, TheModelStaysNearItselfAndEverNearerWithMoreBits) {
  for (bool deepseek : {false, true}) {
    test::ReferenceModel({.deepseek = deepseek}).writer().write(path_);
    const std::vector<float> want = logits(path_);
    double last = 1e-6;
    for (const char* mix : {"F32", "F16", "Q8_0", "Q5_1", "Q4_0"}) {
      ASSERT_TRUE(run(path_, path_ + ".q", mix));
      const double got = distance(want, logits(path_ + ".q"));
      EXPECT_LT(got, 0.9) << mix;
      EXPECT_GE(got, std::string(mix) == "F32" ? 0 : last) << mix;
      last = got;
    }
  }
}

TEST_F(RequantizeTest, TheSameTypeIsCopiedToTheLastBitAndTheNumberOfThreadsChangesNothing) {
  test::ReferenceModel({.deepseek = true}).writer().write(path_);
  ASSERT_TRUE(run(path_, path_ + ".q", "Q4_K_M", 1));
  ASSERT_TRUE(run(path_, path_ + ".r", "Q4_K_M", 3));
  EXPECT_EQ(content(path_ + ".q"), content(path_ + ".r"));
  ASSERT_TRUE(run(path_ + ".q", path_ + ".r", "Q4_K_M"));
  EXPECT_EQ(content(path_ + ".q"), content(path_ + ".r"));
  const auto file = *gguf::File::open(path_ + ".q");
  EXPECT_EQ(file->get_uint("general.file_type"), 15u);
  EXPECT_EQ(file->get_uint("general.quantization_version"), 2u);
  EXPECT_EQ(file->tensor("blk.1.ffn_gate_inp.weight")->type, Type::f32);
  EXPECT_EQ(file->tensor("blk.1.attn_k_b.weight")->type, Type::f16) << "16 values a row";
}

TEST_F(RequantizeTest, WhatWasQuantizedBeforeIsCounted) {
  test::ReferenceModel({}).writer().write(path_);
  ASSERT_EQ(run(path_, path_ + ".q", "Q8_0")->already_quantized, 0u);
  EXPECT_GT(run(path_ + ".q", path_ + ".r", "Q4_0")->already_quantized, 10u);
}

TEST_F(RequantizeTest, TheInputIsNeverOverwritten) {
  test::ReferenceModel({}).writer().write(path_);
  const std::string before = content(path_);
  EXPECT_EQ(run(path_, path_, "Q8_0").status().code(), StatusCode::invalid_argument);
  std::filesystem::create_symlink(path_, path_ + ".q");
  EXPECT_EQ(run(path_, path_ + ".q", "Q8_0").status().where(), path_ + ".q");
  EXPECT_EQ(content(path_), before);
}

TEST_F(RequantizeTest, AValueThatIsNoNumberIsNamedWithItsPlaceAndNoFileIsLeft) {
  std::vector<float> values(64 * 3, 1);
  values[64 + 5] = NAN;
  test::GgufWriter writer;
  writer.set_string("general.architecture", "llama");
  writer.add_tensor("token_embd.weight", Type::f32, {64, 3}, test::f32_bytes(values));
  writer.write(path_);
  const Status status = run(path_, path_ + ".q", "Q8_0").status();
  EXPECT_EQ(status.where(), "tensor 'token_embd.weight', row 1, column 5");
  EXPECT_FALSE(std::filesystem::exists(path_ + ".q"));
}

TEST_F(RequantizeTest, StoppedWorkLeavesNoFile) {
  test::ReferenceModel({}).writer().write(path_);
  CancelSource source;
  RequantizeOptions options{path_, path_ + ".q", "Q8_0", 1, [&](double) { source.cancel(); }};
  EXPECT_EQ(requantize(options, source.token()).status().code(), StatusCode::cancelled);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".q"));
}

}  // namespace
}  // namespace wenqu::engine::quant
