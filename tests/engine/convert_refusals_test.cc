// What convert does with folders that are broken, incomplete or of models it does not know: an error with its place.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "engine/convert/convert.h"
#include "tests/engine/hf_folder.h"

namespace wenqu::engine::convert {
namespace {

using test::HfFolder;

class ConvertRefusals : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "wenqu_refusals_" + std::to_string(::getpid()) + "_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    folder_ = std::make_unique<HfFolder>(path_);
    fill(*folder_, {.deepseek = true, .seed = 41});
  }
  void TearDown() override {
    EXPECT_FALSE(std::filesystem::exists(path_ + ".gguf"));
    std::filesystem::remove(path_ + ".gguf");
  }

  void expect(StatusCode code, const std::string& where, const std::string& what = "") {
    const Status status = convert({path_, path_ + ".gguf", "F32", pre_, 1, {}}, {}).status();
    EXPECT_EQ(status.code(), code) << status.to_string();
    EXPECT_NE(status.where().find(where), std::string::npos) << status.to_string();
    EXPECT_NE(status.message().find(what), std::string::npos) << status.to_string();
  }

  std::string path_, pre_;
  std::unique_ptr<HfFolder> folder_;
};

TEST_F(ConvertRefusals, MembersOfTheConfigThatAreAbsent) {
  for (const char* name : {"model_type", "hidden_size", "num_hidden_layers", "vocab_size", "rms_norm_eps", "kv_lora_rank", "qk_rope_head_dim",
                           "num_experts_per_tok", "moe_intermediate_size", "intermediate_size", "max_position_embeddings"}) {
    const std::string value = folder_->config.at(name);
    folder_->config.erase(name);
    folder_->write();
    expect(name == std::string("model_type") ? StatusCode::unsupported : StatusCode::corrupt, std::string("config.json: ") + name);
    folder_->config[name] = value;
  }
}

TEST_F(ConvertRefusals, MembersOfTheConfigThatMakeNoSense) {
  const std::pair<const char*, const char*> cases[] = {
      {"hidden_size", "0"}, {"hidden_size", "-4"}, {"hidden_size", "\"64\""}, {"hidden_size", "1e9"}, {"num_hidden_layers", "100000"},
      {"qk_rope_head_dim", "7"}, {"n_group", "3"}, {"num_experts_per_tok", "9"}, {"rms_norm_eps", "2"}, {"tie_word_embeddings", "1"},
      {"rope_scaling", "7"}, {"vocab_size", "4294967296"}};
  for (const auto& [name, value] : cases) {
    const std::string before = folder_->config.at(name);
    folder_->config[name] = value;
    folder_->write();
    expect(StatusCode::corrupt, std::string("config.json: ") + name);
    folder_->config[name] = before;
  }
}

TEST_F(ConvertRefusals, ModelsThatWouldGiveOtherResults) {
  const std::pair<const char*, const char*> cases[] = {
      {"model_type", "\"mamba\""}, {"hidden_act", "\"gelu\""}, {"scoring_func", "\"tanh\""}, {"topk_method", "\"random\""}, {"moe_layer_freq", "2"},
      {"rope_scaling", R"({"type":"longrope","factor":2})"}, {"quantization_config", R"({"quant_method":"awq"})"}, {"partial_rotary_factor", "0.5"}};
  for (const auto& [name, value] : cases) {
    const auto before = folder_->config;
    folder_->config[name] = value;
    folder_->write();
    expect(StatusCode::unsupported, std::string("config.json: ") + name);
    folder_->config = before;
  }
}

TEST_F(ConvertRefusals, TensorsThatAreMissingOrMisshapen) {
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight", "model.layers.1.mlp.gate.weight", "model.layers.2.self_attn.kv_b_proj.weight",
                           "model.layers.1.mlp.experts.7.up_proj.weight", "model.layers.1.mlp.gate.e_score_correction_bias"}) {
    const HfFolder::Tensor tensor = folder_->tensors.at(name);
    folder_->tensors.erase(name);
    folder_->write();
    expect(StatusCode::corrupt, std::string("tensor '") + name + "'", "missing");
    folder_->tensors[name] = {tensor.dtype, {tensor.bytes.size() / 4}, tensor.bytes};
    if (tensor.shape.size() == 1) folder_->tensors[name].shape = {1, tensor.shape[0]};
    folder_->write();
    expect(StatusCode::corrupt, std::string("tensor '") + name + "'", "config.json calls for");
    folder_->tensors[name] = tensor;
  }
}

TEST_F(ConvertRefusals, NumberFormatsThatAreNotRead) {
  HfFolder::Tensor& tensor = folder_->tensors.at("model.layers.0.mlp.up_proj.weight");
  tensor.dtype = "I32";
  folder_->write();
  expect(StatusCode::unsupported, "model.layers.0.mlp.up_proj.weight", "I32");
}

TEST_F(ConvertRefusals, Fp8WithoutItsScales) {
  HfFolder::Tensor& tensor = folder_->tensors.at("model.layers.0.mlp.up_proj.weight");
  tensor = {"F8_E4M3", tensor.shape, std::string(tensor.bytes.size() / 4, '\x38')};
  folder_->write();
  expect(StatusCode::corrupt, "model.layers.0.mlp.up_proj.weight", "weight_block_size");
  folder_->config["quantization_config"] = R"({"quant_method":"fp8","weight_block_size":[128,128]})";
  folder_->write();
  expect(StatusCode::corrupt, "model.layers.0.mlp.up_proj.weight", "weight_scale_inv");
  folder_->add_f32("model.layers.0.mlp.up_proj.weight_scale_inv", {1, 2}, {1, 1});
  folder_->write();
  expect(StatusCode::corrupt, "model.layers.0.mlp.up_proj.weight_scale_inv", "[1, 1]");
  folder_->config["quantization_config"] = R"({"quant_method":"fp8","weight_block_size":[0,128]})";
  folder_->write();
  expect(StatusCode::corrupt, "quantization_config: weight_block_size");
}

TEST_F(ConvertRefusals, ValuesThatAreNoNumbersAreNamedWithTheirPlace) {
  std::vector<float> values(64 * 96, 1);
  values[64 * 3 + 9] = INFINITY;
  folder_->add_f32("model.layers.0.mlp.up_proj.weight", {96, 64}, values);
  folder_->write();
  expect(StatusCode::invalid_argument, "tensor 'blk.0.ffn_up.weight', row 3, column 9");
}

TEST_F(ConvertRefusals, FilesThatAreMissingOrCutShort) {
  folder_->write(3);
  std::filesystem::remove(path_ + "/model-1.safetensors");
  expect(StatusCode::not_found, "model-1.safetensors");
  folder_->write(3);
  std::filesystem::resize_file(path_ + "/model-2.safetensors", std::filesystem::file_size(path_ + "/model-2.safetensors") - 1);
  expect(StatusCode::corrupt, "model-2.safetensors: tensor '", "cut short");
  std::filesystem::resize_file(path_ + "/model-2.safetensors", 4);
  expect(StatusCode::corrupt, "model-2.safetensors");
  std::filesystem::remove(path_ + "/model.safetensors.index.json");
  expect(StatusCode::not_found, "model.safetensors");
}

TEST_F(ConvertRefusals, AnIndexThatLies) {
  folder_->write();
  folder_->write_file("model.safetensors.index.json", R"({"weight_map":{"model.norm.weight":"../secret.safetensors"}})");
  expect(StatusCode::corrupt, "weight_map: model.norm.weight", "names no file of the folder");
  folder_->write_file("model.safetensors.index.json", R"({"weight_map":{"model.other.weight":"model.safetensors"}})");
  expect(StatusCode::corrupt, "weight_map: model.other.weight", "incomplete");
  folder_->write_file("model.safetensors.index.json", "{}");
  expect(StatusCode::corrupt, "weight_map");
}

TEST_F(ConvertRefusals, FoldersWithoutConfigOrTokenizer) {
  folder_->write();
  std::filesystem::remove(path_ + "/tokenizer.json");
  expect(StatusCode::not_found, "tokenizer.json");
  folder_->write_file("tokenizer.json", "{\"model\": ");
  expect(StatusCode::corrupt, "tokenizer.json", "byte");
  std::filesystem::remove(path_ + "/config.json");
  expect(StatusCode::not_found, "config.json");
}

TEST_F(ConvertRefusals, PreTokenizersThatAreNotKnown) {
  folder_->write();
  folder_->write_file("tokenizer.json", test::mini_tokenizer_json({"\\w+", "[0-9]"}));
  expect(StatusCode::unsupported, "pre_tokenizer", "\\w+  then  [0-9]");
  expect(StatusCode::unsupported, "pre_tokenizer", "--pre-tokenizer");
  pre_ = "whatever";
  expect(StatusCode::invalid_argument, "--pre-tokenizer", "qwen2");
}

}  // namespace
}  // namespace wenqu::engine::convert
