#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/utf8.h"
#include "engine/generate.h"
#include "engine/gguf/file.h"
#include "engine/timeline.h"
#include "tests/engine/model_fixture.h"

namespace wenqu::engine {
namespace {

using test::GgufWriter;
using test::kTokens;
using test::ModelTest;
using test::ReferenceModel;
using test::ReferenceOptions;

TEST_F(ModelTest, Qwen2GivesTheReferencesLogits) {
  for (uint32_t seed : {1, 2}) {
    expect_reference({.seed = seed});
    expect_reference({.seed = seed, .tied = true});
  }
}

TEST_F(ModelTest, LlamaAndQwen3GiveTheReferencesLogits) {
  for (const char* name : {"llama", "qwen3", "qwen3moe"})
    for (bool tied : {false, true}) expect_reference({.seed = 7, .tied = tied, .dense = name});
}

TEST_F(ModelTest, JoinedQueriesKeysAndValuesAreTakenApart) {
  for (const char* name : {"llama", "qwen2"}) {
    const std::vector<float> apart = all_logits(load({.seed = 8, .dense = name}), kTokens);
    EXPECT_EQ(all_logits(load({.seed = 8, .dense = name, .joined_qkv = true}), kTokens), apart);
  }
}

TEST_F(ModelTest, TheThreeFormsOfMlaAgreeToTheLastBit) {
  for (bool q_lora : {true, false}) {
    ReferenceOptions options{.deepseek = true, .seed = 9, .q_lora = q_lora};
    const std::vector<float> split = all_logits(load(options), kTokens);
    options.mla_form = ReferenceOptions::MlaForm::joined;
    EXPECT_EQ(all_logits(load(options), kTokens), split);
    options.mla_form = ReferenceOptions::MlaForm::both;
    EXPECT_EQ(all_logits(load(options), kTokens), split);
  }
}

TEST_F(ModelTest, ALayerOfMultiTokenPredictionIsNoPartOfTheTrunk) {
  const auto without = load({.deepseek = true, .seed = 10});
  const std::vector<float> want = all_logits(without, kTokens);
  const uint64_t active = without->info().active_parameters;
  const auto with = load({.deepseek = true, .seed = 10, .next_token = true});
  EXPECT_EQ(all_logits(with, kTokens), want);
  EXPECT_EQ(with->info().layers, 3u);
  EXPECT_EQ(with->info().active_parameters, active);
}

TEST_F(ModelTest, Deepseek2GivesTheReferencesLogitsInEveryVariant) {
  for (bool q_lora : {true, false})
    for (bool sigmoid : {true, false})
      for (bool yarn : {true, false})
        expect_reference({.deepseek = true, .seed = 3, .q_lora = q_lora, .sigmoid = sigmoid, .yarn = yarn});
}

TEST_F(ModelTest, ActivationsBeyondTheRangeOfHalfFloatsAreNoTrouble) {
  const ReferenceOptions options{.seed = 4, .weight_scale = 3000};   // products around 10^7 before the down projection
  expect_reference(options);
}

TEST_F(ModelTest, TheNumberOfThreadsChangesNothing) {
  for (bool deepseek : {false, true}) {
    const ReferenceOptions options{.deepseek = deepseek, .seed = 6};
    const std::vector<float> one = all_logits(load(options, 1), kTokens);
    for (int threads : {2, 3, 9}) EXPECT_EQ(all_logits(load(options, threads), kTokens), one);
  }
}

TEST_F(ModelTest, LoadsFromAFileInMemoryToo) {
  const std::string bytes = ReferenceModel({.seed = 3}).writer().bytes();
  LoadOptions options;
  options.threads = 1;
  const auto model = Model::load(*gguf::File::parse(std::as_bytes(std::span(bytes))), options);
  ASSERT_TRUE(model) << model.status().to_string();
  EXPECT_EQ(all_logits(*model, kTokens), all_logits(load({.seed = 3}), kTokens));
  EXPECT_EQ((*model)->info().path, "");
}

TEST_F(ModelTest, ATensorThatHasNoPartInWhatIsComputedIsRefusedByItsName) {
  const auto expect_refused = [&](const ReferenceOptions& options, const std::string& name) {
    GgufWriter writer = ReferenceModel(options).writer();
    writer.add_tensor(name, gguf::Type::f32, {64}, std::string(64 * 4, '\0'));
    writer.write(path_);
    const Status status = Model::load(path_, {}).status();
    EXPECT_EQ(status.code(), StatusCode::unsupported) << name << ": " << status.to_string();
    EXPECT_NE(status.where().find("tensor '" + name + "'"), std::string::npos) << status.to_string();
  };
  for (const char* name : {"output.bias", "output_norm.bias", "token_embd_norm.weight", "blk.0.attn_q_norm.weight", "blk.1.attn_output.bias",
                           "blk.2.ffn_down.scale", "blk.0.attn_sinks", "blk.1.post_attention_norm.weight", "blk.0.ffn_up_exps.weight",
                           "blk.3.attn_norm.weight"})
    expect_refused({}, name);
  for (const char* name : {"blk.0.attn_q_a.bias", "blk.1.ffn_gate_inp.bias", "blk.0.exp_probs_b.bias"}) expect_refused({.deepseek = true}, name);
  // A bias that only a later layer has is what is left of all of them.
  for (const char* name : {"blk.1.attn_q.bias", "blk.2.attn_v.bias"}) expect_refused({.dense = "llama"}, name);
  expect_refused({.deepseek = true, .sigmoid = false}, "blk.2.exp_probs_b.bias");
}

TEST_F(ModelTest, WhatAllLayersOfAModelHaveIsMissedInEach) {
  const auto expect_missed = [&](const ReferenceOptions& options, const std::string& name) {
    std::string bytes = ReferenceModel(options).writer().bytes();
    bytes[bytes.find(name)] = 'X';
    std::ofstream(path_, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    const Status status = Model::load(path_, {}).status();
    EXPECT_EQ(status.code(), StatusCode::corrupt) << name << ": " << status.to_string();
    EXPECT_NE(status.where().find("tensor '" + name + "'"), std::string::npos) << status.to_string();
  };
  for (const char* name : {"blk.0.attn_q.bias", "blk.1.attn_q.bias", "blk.2.attn_k.bias", "blk.0.attn_v.bias"}) expect_missed({}, name);
  for (const char* name : {"blk.0.attn_qkv.bias", "blk.2.attn_qkv.bias"}) expect_missed({.joined_qkv = true}, name);
  expect_missed({.deepseek = true}, "blk.2.exp_probs_b.bias");
}

TEST_F(ModelTest, ARankingHeadAndLayersOfMultiTokenPredictionThatAreNotCountedChangeNothing) {
  const ReferenceOptions options{.deepseek = true, .next_token = true};
  const std::vector<float> want = all_logits(load(options), kTokens);
  GgufWriter writer = ReferenceModel(options).writer();
  writer.add_tensor("cls.output.weight", gguf::Type::f32, {64, 1}, std::string(64 * 4, '\0'));
  std::string bytes = writer.bytes();
  const auto set = [&](const std::string& key, uint32_t value) { std::memcpy(bytes.data() + bytes.find(key) + key.size() + 4, &value, 4); };
  set("deepseek2.block_count", 3), set("deepseek2.nextn_predict_layers", 0);
  std::ofstream(path_, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  const auto model = Model::load(path_, {});
  ASSERT_TRUE(model) << model.status().to_string();
  EXPECT_EQ(all_logits(*model, kTokens), want);
}

TEST_F(ModelTest, AChatTemplateWhoseMarksAreNoTokensIsNotUsed) {
  const auto loaded = [&](GgufWriter& writer, const std::string& chat = "") {
    writer.write(path_);
    return Model::load(path_, {.chat_template = chat});
  };
  GgufWriter plain = ReferenceModel({}).writer(), other = ReferenceModel({}).writer();
  EXPECT_TRUE(loaded(plain, "qwen3"));
  const Status named = loaded(plain, "llama3").status();
  EXPECT_EQ(named.code(), StatusCode::unsupported);
  EXPECT_NE(named.message().find("'<|begin_of_text|>'"), std::string::npos) << named.to_string();
  // Found in the file, it leaves a model that is not talked to.
  other.set_string("tokenizer.chat_template", "<|start_header_id|>");
  const auto silent = loaded(other);
  ASSERT_TRUE(silent) << silent.status().to_string();
  EXPECT_EQ((*silent)->chat_template().status().code(), StatusCode::unsupported);
  EXPECT_EQ((*silent)->info().chat_template, "");
  EXPECT_NE((*silent)->info().chat_problem.find("llama3"), std::string::npos);
}

TEST_F(ModelTest, GenerationStopsForEachOfItsReasons) {
  const auto model = load({.seed = 8});
  auto timeline = *Timeline::create(model);
  ASSERT_TRUE(timeline->append(kTokens, {}));
  Sampler sampler = *Sampler::create({.temperature = 1.5f, .top_p = 1, .seed = 2});
  size_t told = 0;
  auto result = generate(*timeline, sampler, {.max_tokens = 4}, [&](const GeneratedToken&) { return ++told, true; }, {});
  ASSERT_TRUE(result);
  EXPECT_EQ(told, result->tokens);
  EXPECT_LE(told, 4u);
  EXPECT_EQ(timeline->tokens().size(), kTokens.size() + result->tokens);
  result = generate(*timeline, sampler, {.max_tokens = 50}, [&](const GeneratedToken&) { return false; }, {});
  EXPECT_TRUE(result->reason == StopReason::sink || result->reason == StopReason::end_of_turn);
  // With random weights the end of the turn comes up sooner or later, and is not told.
  bool ended = false;
  for (uint64_t seed = 1; seed < 40 && !ended; ++seed) {
    auto fresh = *Timeline::create(model);
    ASSERT_TRUE(fresh->append(kTokens, {}));
    Sampler wild = *Sampler::create({.temperature = 50, .top_p = 1, .seed = seed});
    bool told_end = false;
    const auto run = generate(*fresh, wild, {.max_tokens = 300}, [&](const GeneratedToken& token) {
      told_end = told_end || model->tokenizer().is_end_of_generation(token.id);
      EXPECT_TRUE(token.id < static_cast<TokenId>(model->tokenizer().size())) << "padding is never chosen";
      return true;
    }, {});
    ended = run->reason == StopReason::end_of_turn;
    EXPECT_FALSE(told_end);
  }
  EXPECT_TRUE(ended);
  CancelSource source;
  source.cancel();
  EXPECT_EQ(generate(*timeline, sampler, {}, [](const GeneratedToken&) { return true; }, source.token()).status().code(),
            StatusCode::cancelled);
}

TEST_F(ModelTest, DamagedWeightsAreAnErrorAndNoCrash) {
  for (bool deepseek : {false, true}) {
    const ReferenceModel reference({.deepseek = deepseek});
    std::string bytes = reference.writer().bytes();
    // The tensors lie at the end: all of their numbers become NaN.
    const float nan = NAN;
    for (size_t at = bytes.size() / 2 / 4 * 4; at + 4 <= bytes.size(); at += 4) std::memcpy(bytes.data() + at, &nan, 4);
    std::ofstream(path_, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    const auto model = Model::load(path_, {});
    ASSERT_TRUE(model) << model.status().to_string();
    auto timeline = *Timeline::create(*model);
    ASSERT_TRUE(timeline->append(kTokens, {}));
    Sampler sampler = *Sampler::create({});
    EXPECT_EQ(generate(*timeline, sampler, {}, [](const GeneratedToken&) { return true; }, {}).status().code(), StatusCode::corrupt);
  }
}

TEST_F(ModelTest, ModelsThatCannotBeRunAreErrorsThatSayWhy) {
  struct Case {
    const char* key;
    uint32_t value;
    StatusCode code;
  };
  const Case cases[] = {
      {"deepseek2.block_count", 0, StatusCode::corrupt},           {"deepseek2.block_count", 1u << 31, StatusCode::corrupt},
      {"deepseek2.block_count", 2, StatusCode::unsupported},       {"deepseek2.expert_shared_count", 0, StatusCode::unsupported},
      {"deepseek2.block_count", 4, StatusCode::corrupt},           {"deepseek2.attention.head_count", 0, StatusCode::corrupt},
      {"deepseek2.attention.head_count", 3, StatusCode::corrupt},  {"deepseek2.embedding_length", 0, StatusCode::corrupt},
      {"deepseek2.embedding_length", 65, StatusCode::corrupt},     {"deepseek2.context_length", 0, StatusCode::corrupt},
      {"deepseek2.expert_used_count", 9, StatusCode::corrupt},     {"deepseek2.expert_used_count", 0, StatusCode::corrupt},
      {"deepseek2.expert_group_count", 3, StatusCode::corrupt},    {"deepseek2.rope.dimension_count", 7, StatusCode::corrupt},
      {"deepseek2.rope.dimension_count", 99, StatusCode::corrupt}, {"deepseek2.expert_gating_func", 4, StatusCode::unsupported},
      {"deepseek2.attention.kv_lora_rank", 31, StatusCode::corrupt},
  };
  const std::string good = ReferenceModel({.deepseek = true}).writer().bytes();
  for (const Case& c : cases) {
    std::string bytes = good;
    const std::string key = c.key;
    const size_t at = bytes.find(key) + key.size() + 4;
    std::memcpy(bytes.data() + at, &c.value, 4);
    std::ofstream(path_, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    const auto model = Model::load(path_, {});
    ASSERT_FALSE(model) << key << " " << c.value;
    EXPECT_EQ(model.status().code(), c.code) << key << " " << c.value << ": " << model.status().to_string();
    EXPECT_NE(model.status().where().find(path_), std::string::npos);
  }
}

TEST_F(ModelTest, ATensorThatIsMissingOrMisshapenIsNamed) {
  const auto refused = [&](const std::string& bytes) {
    std::ofstream(path_, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return Model::load(path_, {}).status();
  };
  for (bool deepseek : {false, true}) {
    const std::string good = ReferenceModel({.deepseek = deepseek}).writer().bytes();
    std::vector<std::string> names = {"token_embd.weight", "output_norm.weight", "blk.1.attn_output.weight", "blk.0.ffn_down.weight"};
    if (deepseek) names.insert(names.end(), {"blk.2.attn_k_b.weight", "blk.1.ffn_gate_inp.weight", "blk.1.ffn_up_exps.weight"});
    else names.push_back("blk.2.attn_q.weight");
    for (const std::string& name : names) {
      std::string missing = good;
      missing[missing.find(name)] = 'X';   // another name of the same length
      Status status = refused(missing);
      EXPECT_EQ(status.code(), StatusCode::corrupt) << name;
      EXPECT_NE(status.where().find(name), std::string::npos) << status.to_string();

      std::string misshapen = good;
      char& inputs = misshapen[misshapen.find(name) + name.size() + 4];   // ne[0], one fewer
      --inputs;
      status = refused(misshapen);
      EXPECT_EQ(status.code(), StatusCode::corrupt) << name;
      EXPECT_NE(status.where().find(name), std::string::npos) << status.to_string();
      EXPECT_NE(status.message().find("shape"), std::string::npos) << status.to_string();
    }
  }
}

TEST_F(ModelTest, GenerationEndsBeforeAStopStringAndTellsProbabilities) {
  const auto model = load({});
  const auto run = [&](GenerateOptions options, std::vector<GeneratedToken>* tokens = nullptr) {
    auto timeline = *Timeline::create(model);
    EXPECT_TRUE(timeline->append(kTokens, {}));
    Sampler sampler = *Sampler::create({.temperature = 2, .seed = 4});
    std::string text;
    const auto result = generate(*timeline, sampler, options, [&](const GeneratedToken& token) {
      text += token.text;
      if (tokens) tokens->push_back(token);
      if (options.top_log_probabilities >= 0 && !token.log_probabilities.empty()) {
        EXPECT_EQ(token.log_probabilities.size(), 1u + static_cast<size_t>(options.top_log_probabilities));
        EXPECT_EQ(token.log_probabilities[0].token, token.id);
        EXPECT_LE(token.log_probabilities[0].log_probability, token.log_probabilities[1].log_probability);
        EXPECT_GE(token.log_probabilities[1].log_probability, token.log_probabilities[2].log_probability);
      }
      return true;
    }, {});
    EXPECT_TRUE(result);
    return std::pair(text, result->reason);
  };
  const std::string all = run({.max_tokens = 40, .top_log_probabilities = 2}).first;
  ASSERT_GT(all.size(), 20u);
  // A stop string of whole characters out of the middle.
  size_t at = 8;
  while (at < all.size() && (all[at] & 0xC0) == 0x80) ++at;
  const std::string stop = all.substr(at, utf8_offset(std::string_view(all).substr(at), 3));
  const auto [text, reason] = run({.max_tokens = 40, .stop = {stop}});
  EXPECT_EQ(reason, StopReason::stop_string);
  EXPECT_EQ(text, all.substr(0, all.find(stop)));
  // One that only ever begins is told in the end.
  EXPECT_EQ(run({.max_tokens = 40, .stop = {all.substr(all.size() - 1) + "\x01\x02never"}}).first, all);
}

TEST_F(ModelTest, AnUnknownArchitectureNamesThoseThatAreKnown) {
  GgufWriter writer;
  writer.set_string("general.architecture", "mamba");
  writer.write(path_);
  const Status status = Model::load(path_, {}).status();
  EXPECT_EQ(status.code(), StatusCode::unsupported);
  EXPECT_NE(status.message().find("mamba"), std::string::npos);
  EXPECT_NE(status.message().find("deepseek2"), std::string::npos);
}

TEST_F(ModelTest, AModelThatDoesNotFitIsRefusedWithFigures) {
  ReferenceModel({}).writer().write(path_);
  LoadOptions options;
  options.memory_budget = 1 << 20;
  const Status status = Model::load(path_, options).status();
  EXPECT_EQ(status.code(), StatusCode::out_of_memory);
  EXPECT_NE(status.message().find("MiB"), std::string::npos);
  const auto estimate = Model::estimate(path_, 1024);
  ASSERT_TRUE(estimate);
  EXPECT_GT(estimate->weights, 100000u);
  EXPECT_EQ(estimate->kv_cache, 1024u * 3 * 2 * 48 * 2);
  EXPECT_EQ(Model::estimate(path_, 1024, KvType::f32)->kv_cache, 2 * estimate->kv_cache);
  EXPECT_EQ(estimate->context_tokens, 1024u);
  EXPECT_EQ(Model::estimate(path_, UINT64_MAX)->context_tokens, 2048u);   // as many as the model has
  // Also of a shorter text than load() makes room for.
  options.memory_budget = estimate->least;
  EXPECT_TRUE(Model::load(path_, options));
  --options.memory_budget;
  EXPECT_EQ(Model::load(path_, options).status().code(), StatusCode::out_of_memory);
}

TEST_F(ModelTest, LoadingTellsItsProgressAndCanBeStopped) {
  ReferenceModel({}).writer().write(path_);
  std::vector<double> told;
  LoadOptions options;
  options.progress = [&](double fraction) { return told.push_back(fraction), true; };
  ASSERT_TRUE(Model::load(path_, options));
  EXPECT_EQ(told.front(), 0);
  EXPECT_EQ(told.back(), 1);
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
  options.progress = [](double) { return false; };
  EXPECT_EQ(Model::load(path_, options).status().code(), StatusCode::cancelled);
}

}  // namespace
}  // namespace wenqu::engine
