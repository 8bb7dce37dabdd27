#include "engine/convert/convert.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "engine/convert/checkpoint.h"
#include "engine/convert/plan.h"
#include "engine/cpu/blocks.h"
#include "engine/gguf/file.h"
#include "engine/timeline.h"
#include "tests/engine/hf_folder.h"
#include "tests/support/mini_vocabulary.h"

namespace wenqu::engine::convert {
namespace {

using test::HfFolder;
using test::ReferenceModel;
using test::ReferenceOptions;

const std::vector<TokenId> kTokens = {260, 5, 77, 200, 13, 13, 99, 256, 41, 7, 150, 2};

class ConvertTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "wenqu_convert_" + std::to_string(::getpid()) + "_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    folder_ = std::make_unique<HfFolder>(path_);
  }
  void TearDown() override { std::filesystem::remove(file()); }

  std::string file() const { return path_ + ".gguf"; }
  Result<ConvertReport> run(const std::string& mix = "F32") { return convert({path_, file(), mix, "", 2, {}}, {}); }

  std::shared_ptr<const Model> load() {
    LoadOptions load;
    load.threads = 1;
    auto model = Model::load(file(), load);
    EXPECT_TRUE(model) << model.status().to_string();
    return *model;
  }

  double distance(const ReferenceOptions& options) {
    const auto want = ReferenceModel(options).logits(kTokens);
    const auto model = load();
    const std::vector<float> got = *(*Timeline::create(model, {.kv_type = KvType::f32}))->append_with_logits(kTokens, {});
    double worst = 0;
    for (size_t t = 0; t < kTokens.size(); ++t) {
      double error = 0, size = 0;
      for (size_t i = 0; i < want[t].size(); ++i) {
        error += std::pow(got[t * want[t].size() + i] - want[t][i], 2);
        size += want[t][i] * want[t][i];
      }
      worst = std::max(worst, std::sqrt(error / size));
    }
    return worst;
  }

  void expect_reference(const ReferenceOptions& options, size_t shards = 1) {
    folder_ = nullptr;   // removes the last one
    folder_ = std::make_unique<HfFolder>(path_);
    fill(*folder_, options);
    folder_->write(shards);
    const auto report = run();
    ASSERT_TRUE(report) << report.status().to_string();
    EXPECT_TRUE(report->left_over.empty()) << report->left_over[0];
    EXPECT_LT(distance(options), 1e-4);
  }

  std::string path_;
  std::unique_ptr<HfFolder> folder_;
};

TEST_F(ConvertTest, DenseModelsGiveTheReferencesLogits) {
  for (const char* name : {"qwen2", "qwen3", "qwen3moe"})
    for (bool tied : {false, true}) expect_reference({.seed = 21, .tied = tied, .dense = name});
}

TEST_F(ConvertTest, DeepseekGivesTheReferencesLogitsInEveryVariant) {
  for (bool q_lora : {true, false})
    for (bool sigmoid : {true, false})
      for (bool yarn : {true, false}) expect_reference({.deepseek = true, .seed = 22, .q_lora = q_lora, .sigmoid = sigmoid, .yarn = yarn});
}

TEST_F(ConvertTest, AModelInSeveralFilesIsTheSame) { expect_reference({.deepseek = true, .seed = 23}, 3); }

TEST_F(ConvertTest, LlamasPairsAndItsScalingGiveTheReferencesLogits) {
  // wavelengths below 64 / 4 stay, above 64 / 1 are stretched by 8, between them smoothly.
  std::vector<float> factors;
  for (int i = 0; i < 12; ++i) {
    const double wavelength = 2 * M_PI * std::pow(10000, i / 12.0), smooth = (64 / wavelength - 1) / 3;
    factors.push_back(static_cast<float>(wavelength < 16 ? 1 : wavelength > 64 ? 8 : 1 / ((1 - smooth) / 8 + smooth)));
  }
  ReferenceOptions options{.seed = 24, .dense = "llama", .rope_factors = factors};
  fill(*folder_, options);
  folder_->config["rope_scaling"] = R"({"rope_type":"llama3","factor":8.0,"original_max_position_embeddings":64,)"
                                    R"("low_freq_factor":1.0,"high_freq_factor":4.0})";
  folder_->write();
  ASSERT_TRUE(run());
  EXPECT_LT(distance(options), 1e-4);
  EXPECT_NE(gguf::File::open(file()).value()->tensor("rope_freqs.weight"), nullptr);
}

TEST_F(ConvertTest, TheLayerOfMultiTokenPredictionIsKeptAndNoPartOfTheTrunk) {
  const ReferenceOptions options{.deepseek = true, .seed = 25, .next_token = true};
  expect_reference(options);
  const auto gguf = *gguf::File::open(file());
  EXPECT_EQ(gguf->get_uint("deepseek2.nextn_predict_layers"), 1u);
  EXPECT_EQ(gguf->get_uint("deepseek2.block_count"), 4u);
  const auto value = [&](const char* name, size_t i) {
    float v = NAN;
    if (const gguf::Tensor* tensor = gguf->tensor(name)) std::memcpy(&v, tensor->data + i * 4, 4);
    return v;
  };
  EXPECT_EQ(value("blk.3.nextn.enorm.weight", 0), 2);
  EXPECT_EQ(value("blk.3.nextn.hnorm.weight", 5), 3);
  EXPECT_EQ(value("blk.3.nextn.eh_proj.weight", 777), 777);
  EXPECT_EQ(value("blk.3.nextn.shared_head_norm.weight", 9), 4);
  EXPECT_NE(gguf->tensor("blk.3.nextn.embed_tokens.weight"), nullptr);
  EXPECT_NE(gguf->tensor("blk.3.nextn.shared_head_head.weight"), nullptr);
  EXPECT_NE(gguf->tensor("blk.3.attn_k_b.weight"), nullptr);
  EXPECT_EQ(load()->info().layers, 3u);
}

TEST_F(ConvertTest, ALayerThatTheConfigPromisesAndTheFilesLackIsNotCounted) {
  fill(*folder_, {.deepseek = true, .seed = 26});
  folder_->config["num_nextn_predict_layers"] = "1";
  folder_->write();
  ASSERT_TRUE(run());
  EXPECT_EQ((*gguf::File::open(file()))->get_uint("deepseek2.block_count"), 3u);
  EXPECT_EQ(load()->info().layers, 3u);
}

// The values of FP8 numbers by their definition.
float f8(int bits) {
  static const std::vector<float> values = [] {
    std::vector<float> all;
    for (int i = 0; i < 256; ++i) {
      const int exponent = i >> 3 & 15, fraction = i & 7;
      const double value = exponent == 0 ? fraction / 8.0 * std::pow(2, -6) : (1 + fraction / 8.0) * std::pow(2, exponent - 7);
      all.push_back(static_cast<float>(i & 128 ? -value : value));
    }
    return all;
  }();
  return values[static_cast<size_t>(bits)];
}

// Makes FP8 numbers of a matrix, with the scales of its blocks; gives the values they stand for.
std::vector<float> to_f8(HfFolder& folder, const std::string& name, uint64_t block_rows, uint64_t block_columns) {
  HfFolder::Tensor& tensor = folder.tensors.at(name);
  const uint64_t rows = tensor.shape[0], columns = tensor.shape[1], across = (columns + block_columns - 1) / block_columns;
  std::vector<float> values(rows * columns), scales((rows + block_rows - 1) / block_rows * across, 0), decoded;
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  const auto block = [&](uint64_t i) { return i / columns / block_rows * across + i % columns / block_columns; };
  for (uint64_t i = 0; i < values.size(); ++i) scales[block(i)] = std::max(scales[block(i)], std::fabs(values[i]) / 448);
  std::string bytes;
  for (uint64_t i = 0; i < values.size(); ++i) {
    const float value = values[i] / scales[block(i)];
    int best = 0;
    for (int bits = 0; bits < 256; ++bits)
      if ((bits & 127) != 127 && std::fabs(f8(bits) - value) < std::fabs(f8(best) - value)) best = bits;
    bytes += static_cast<char>(best);
    decoded.push_back(f8(best) * scales[block(i)]);
  }
  const uint64_t down = (rows + block_rows - 1) / block_rows;
  tensor = {"F8_E4M3", {rows, columns}, bytes};
  folder.add_f32(name + "_scale_inv", {down, across}, scales);
  return decoded;
}

TEST_F(ConvertTest, Fp8BlocksThatDoNotDivideTheMatrixGiveWhatTheirValuesGive) {
  fill(*folder_, {.deepseek = true, .seed = 27, .next_token = true});
  const std::map<std::string, HfFolder::Tensor> plain = folder_->tensors;
  std::map<std::string, HfFolder::Tensor> decoded = plain;
  folder_->config["quantization_config"] = R"({"quant_method":"fp8","fmt":"e4m3","weight_block_size":[48,40]})";
  size_t count = 0;
  for (const auto& [name, tensor] : plain) {
    if (!name.ends_with("_proj.weight") && !name.ends_with("_mqa.weight")) continue;
    decoded[name].bytes = test::f32_bytes(to_f8(*folder_, name, 48, 40));
    ++count;
  }
  EXPECT_GT(count, 90u);
  folder_->write();
  const auto report = run();
  ASSERT_TRUE(report) << report.status().to_string();
  EXPECT_TRUE(report->left_over.empty());
  const auto got = *gguf::File::open(file());
  folder_->tensors = decoded;
  folder_->write();
  ASSERT_TRUE(convert({path_, file() + ".want", "F32", "", 1, {}}, {}));
  const auto want = *gguf::File::open(file() + ".want");
  std::filesystem::remove(file() + ".want");
  ASSERT_EQ(got->tensors().size(), want->tensors().size());
  for (const gguf::Tensor& tensor : want->tensors())
    EXPECT_EQ(std::memcmp(tensor.data, got->tensor(tensor.name)->data, tensor.bytes), 0) << tensor.name;
  load();
}

TEST_F(ConvertTest, Fp8BlocksOf128OnAnUnevenMatrix) {
  std::vector<float> values(300 * 200);
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i)) * (1 + static_cast<float>(i % 7));
  folder_->add_f32("w", {300, 200}, values);
  const std::vector<float> decoded = to_f8(*folder_, "w", 128, 128);
  EXPECT_EQ(folder_->tensors.at("w_scale_inv").shape, (std::vector<uint64_t>{3, 2}));
  folder_->write();
  const auto checkpoint = *Checkpoint::open(path_);
  HfConfig config;
  config.block_rows = config.block_columns = 128;
  const auto matrix = SourceMatrix::open(*checkpoint, config, "w", {300, 200});
  ASSERT_TRUE(matrix) << matrix.status().to_string();
  std::vector<float> got(values.size());
  for (uint64_t row = 0; row < 300; ++row) matrix->read(row, 0, 200, &got[row * 200]);
  EXPECT_EQ(got, decoded);
  float part[50];
  matrix->read(299, 100, 50, part);
  EXPECT_TRUE(std::equal(part, part + 50, decoded.begin() + 299 * 200 + 100));
}

TEST_F(ConvertTest, HalfFloatsAreReadExactly) {
  fill(*folder_, {.seed = 28});
  std::vector<float> values(64);
  std::string half, bfloat;
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i) / 4 - 3;   // exact in both
    const uint16_t h = cpu::float_to_half(values[i]);
    uint32_t bits;
    std::memcpy(&bits, &values[i], 4);
    const uint16_t b = static_cast<uint16_t>(bits >> 16);
    half.append(reinterpret_cast<const char*>(&h), 2), bfloat.append(reinterpret_cast<const char*>(&b), 2);
  }
  folder_->tensors["model.layers.0.input_layernorm.weight"] = {"F16", {64}, half};
  folder_->tensors["model.layers.1.input_layernorm.weight"] = {"BF16", {64}, bfloat};
  folder_->write();
  ASSERT_TRUE(run());
  const auto gguf = *gguf::File::open(file());
  for (const char* name : {"blk.0.attn_norm.weight", "blk.1.attn_norm.weight"})
    EXPECT_EQ(std::memcmp(gguf->tensor(name)->data, values.data(), 256), 0) << name;
}

TEST_F(ConvertTest, TheTokenizerReadsAsTheModelsOwn) {
  for (bool deepseek : {true, false}) {
    const ReferenceOptions options{.deepseek = deepseek, .seed = 29};
    fill(*folder_, options);
    folder_->write();
    ASSERT_TRUE(run());
    ReferenceModel(options).writer().write(path_ + ".want");
    const auto want = *Tokenizer::create(**gguf::File::open(path_ + ".want")), got = *Tokenizer::create(**gguf::File::open(file()));
    std::filesystem::remove(path_ + ".want");
    for (const char* text : {"the thin thing in 12345 naïve ways", "问渠那得清如许\n\n<think>x</think>", "<｜User｜>'ll"}) {
      EXPECT_EQ(got->encode(text), want->encode(text)) << text;
      EXPECT_EQ(got->encode_control(text), want->encode_control(text)) << text;
    }
    EXPECT_EQ(got->bos(), want->bos());
    EXPECT_TRUE(got->add_bos());
    EXPECT_EQ(got->size(), want->size());
    EXPECT_TRUE(got->is_end_of_generation(test::MiniVocabulary().eos));
    EXPECT_EQ(load()->info().chat_template, "deepseek-v3");
  }
}

TEST_F(ConvertTest, TypesAreThoseOfTheMix) {
  fill(*folder_, {.deepseek = true, .seed = 30});
  folder_->write();
  const auto report = run("Q8_0");
  ASSERT_TRUE(report) << report.status().to_string();
  const auto gguf = *gguf::File::open(file());
  EXPECT_EQ(gguf->get_uint("general.file_type"), 7u);
  EXPECT_EQ(gguf->tensor("blk.1.ffn_up_exps.weight")->type, gguf::Type::q8_0);
  EXPECT_EQ(gguf->tensor("blk.1.ffn_gate_inp.weight")->type, gguf::Type::f32);
  EXPECT_EQ(gguf->tensor("blk.1.exp_probs_b.bias")->type, gguf::Type::f32);
  EXPECT_EQ(gguf->tensor("blk.1.attn_k_b.weight")->type, gguf::Type::f16) << "16 values a row";
  const ReferenceOptions dense{.seed = 30};
  fill(*folder_, dense);
  folder_->config.erase("rope_scaling");
  folder_->write();
  ASSERT_TRUE(run("Q8_0"));
  EXPECT_LT(distance(dense), 0.05);
}

TEST_F(ConvertTest, TheModelThatIsReadIsNotOverwritten) {
  fill(*folder_, {.seed = 34});
  folder_->write();
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    const auto size = std::filesystem::file_size(entry.path());
    EXPECT_EQ(convert({path_, entry.path().string(), "F32", "", 2, {}}, {}).status().code(), StatusCode::invalid_argument) << entry.path();
    EXPECT_EQ(std::filesystem::file_size(entry.path()), size);
  }
}

TEST_F(ConvertTest, BiasesThatAreNotComputedAreRefused) {
  for (const char* name : {"model.layers.0.self_attn.o_proj.bias", "lm_head.bias", "model.norm.bias", "model.layers.2.self_attn.q_norm.weight"}) {
    fill(*folder_, {.seed = 33});
    folder_->add_f32(name, {1}, {1});
    folder_->write();
    const auto report = run();
    folder_->tensors.erase(name);
    ASSERT_FALSE(report) << name;
    EXPECT_EQ(report.status().code(), StatusCode::unsupported);
    EXPECT_NE(report.status().to_string().find(name), std::string::npos);
  }
}

TEST_F(ConvertTest, BiasesThatOnlySomeLayersHaveAreMissedInTheOthers) {
  fill(*folder_, {.seed = 35});
  folder_->tensors.erase("model.layers.1.self_attn.q_proj.bias");
  folder_->write();
  EXPECT_NE(run().status().to_string().find("model.layers.1.self_attn.q_proj.bias"), std::string::npos);
}

TEST_F(ConvertTest, TensorsWithoutAPlaceAreToldAndRotaryBuffersAreNot) {
  fill(*folder_, {.seed = 31});
  folder_->add_f32("model.layers.0.self_attn.rotary_emb.inv_freq", {12}, std::vector<float>(12, 1));
  folder_->add_f32("model.vision.norm.bias", {1}, {1});
  folder_->add_f32("model.vision.weight", {1}, {1});
  folder_->write();
  EXPECT_EQ(run()->left_over, (std::vector<std::string>{"model.vision.norm.bias", "model.vision.weight"}));
}

}  // namespace
}  // namespace wenqu::engine::convert
