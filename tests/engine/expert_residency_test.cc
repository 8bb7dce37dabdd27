#include "engine/residency/expert_residency.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <random>

#include "base/mapped_file.h"
#include "base/page_advice.h"
#include "tests/engine/model_fixture.h"
#include "tests/support/mini_vocabulary.h"

namespace wenqu::engine {
namespace {

// Bytes of a file that lie in this process's memory.
uint64_t in_memory(const std::string& path) {
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  uint64_t kilobytes = 0;
  for (bool ours = false; std::getline(maps, line);) {
    uint64_t rss;
    if (line.find('-') < line.find(' ') && line.find(':') > line.find(' ')) ours = line.ends_with(path);
    else if (ours && std::sscanf(line.c_str(), "Rss: %" SCNu64, &rss) == 1) kilobytes += rss;
  }
  return kilobytes << 10;
}

// Two layers of 24 experts, in a file of random bytes.
class ExpertResidencyTest : public testing::Test {
 protected:
  static constexpr size_t kExperts = 24, kGateBytes = 40000, kDownBytes = 70001;   // not on pages
  static constexpr size_t kExpertBytes = 2 * kGateBytes + kDownBytes;

  void SetUp() override {
    path_ = testing::TempDir() + "wenqu_experts_" + std::to_string(::getpid());
    std::mt19937 random(1);
    std::vector<uint32_t> numbers(2 * kExperts * kExpertBytes / 4 + 4096);
    for (uint32_t& number : numbers) number = static_cast<uint32_t>(random());
    std::ofstream(path_, std::ios::binary).write(reinterpret_cast<const char*>(numbers.data()), static_cast<std::streamsize>(numbers.size() * 4));
    content_.assign(reinterpret_cast<const std::byte*>(numbers.data()), reinterpret_cast<const std::byte*>(numbers.data() + numbers.size()));
    file_.emplace(*MappedFile::open(path_));
    const std::byte* at = file_->data().data() + 1000;
    for (ExpertLayer& layer : layers_)
      for (size_t kind = 0; kind < 3; ++kind) {
        layer[kind] = {at, kind == 2 ? kDownBytes : kGateBytes};
        at += kExperts * layer[kind].bytes;
      }
  }
  void TearDown() override {
    file_.reset();
    std::filesystem::remove(path_);
  }
  std::unique_ptr<ExpertResidency> make() {
    return std::make_unique<ExpertResidency>(layers_, kExperts, [this] { return limit_.load(); });
  }
  // A batch's layer: waits as the forward pass does, and reads everything.
  std::vector<uint32_t> compute(ExpertResidency& residency, size_t layer, std::vector<uint32_t> active) {
    std::vector<std::vector<uint32_t>> members(kExperts);
    for (uint32_t expert : active) members[expert] = {0};
    const ExpertResidency::Lease lease = residency.want(layer, active, members, 1);
    for (size_t i = 0; i < active.size(); ++i) {
      lease.wait_for(i, {});
      expect_content(layer, active[i], 0), expect_content(layer, active[i], 1);
    }
    lease.wait_for_all({});
    for (uint32_t expert : active) expect_content(layer, expert, 2);
    return active;
  }
  void expect_content(size_t layer, uint32_t expert, size_t kind) {
    const ExpertStack& stack = layers_[layer][kind];
    const std::byte* data = stack.data + expert * stack.bytes;
    EXPECT_TRUE(std::equal(data, data + stack.bytes, content_.begin() + (data - file_->data().data())));
  }

  std::string path_;
  std::vector<std::byte> content_;
  std::optional<MappedFile> file_;
  std::vector<ExpertLayer> layers_ = std::vector<ExpertLayer>(2);
  std::atomic<uint64_t> limit_{8 * kExpertBytes};
};

TEST_F(ExpertResidencyTest, WhatIsInMemoryComesFirstAndIsCounted) {
  const auto residency = make();
  EXPECT_EQ(compute(*residency, 0, {1, 5, 9}), (std::vector<uint32_t>{1, 5, 9}));
  EXPECT_EQ(compute(*residency, 0, {2, 5, 9}), (std::vector<uint32_t>{5, 9, 2}));
  compute(*residency, 1, {5});
  const ExpertUse use = residency->use();
  EXPECT_EQ(use.hits, 2u);
  EXPECT_EQ(use.misses, 5u);
  EXPECT_EQ(use.bytes_read, 5 * kExpertBytes);
  EXPECT_EQ(use.bytes_in_memory, 5 * kExpertBytes);
}

TEST_F(ExpertResidencyTest, TheProcessHoldsNoMoreThanTheLimit) {
  const auto residency = make();
  std::mt19937 random(2);
  // Two pages at the ends of each matrix, and what lies around the stacks.
  const uint64_t around = 8 * 6 * page_bytes() + (64 << 10);
  for (int step = 0; step < 300; ++step) {
    std::vector<uint32_t> active;
    for (uint32_t expert = 0; expert < kExperts; ++expert)
      if (random() % 6 == 0 && active.size() < 8) active.push_back(expert);
    compute(*residency, static_cast<size_t>(step) % 2, active);
    ASSERT_LE(residency->use().bytes_in_memory, limit_);
    if (step % 10 == 9) {
      ASSERT_LE(in_memory(path_), limit_ + around) << step;
    }
  }
  EXPECT_GT(residency->use().hits, 20u);
  limit_ = 2 * kExpertBytes;
  residency->trim();
  EXPECT_LE(in_memory(path_), limit_ + around);
  // Somebody else looks at the file.
  uint64_t sum = 0;
  for (std::byte byte : file_->data()) sum += static_cast<uint64_t>(byte);
  EXPECT_GT(sum, 0u);
  EXPECT_GT(in_memory(path_), 40 * kExpertBytes);
  residency->forget_strays();
  EXPECT_LE(in_memory(path_), limit_ + around);
}

TEST_F(ExpertResidencyTest, ALeaseKeepsItsExpertsHoweverSmallTheLimitBecomes) {
  const auto residency = make();
  std::vector<uint32_t> active = {3, 4};
  const std::vector<std::vector<uint32_t>> members(kExperts, {0});
  {
    const ExpertResidency::Lease lease = residency->want(0, active, members, 1);
    lease.wait_for_all({});
    limit_ = 0;
    residency->trim();
    EXPECT_EQ(residency->use().bytes_in_memory, 2 * kExpertBytes);
  }
  residency->trim();
  EXPECT_EQ(residency->use().bytes_in_memory, 0u);
}

TEST_F(ExpertResidencyTest, ACancelledBatchWaitsForNothingAndLeavesNothingHalfRead) {
  const auto residency = make();
  CancelSource source;
  source.cancel();
  for (int round = 0; round < 50; ++round) {
    std::vector<uint32_t> active = {0, 7, 8, 23};
    const std::vector<std::vector<uint32_t>> members(kExperts, {0});
    {
      const ExpertResidency::Lease lease = residency->want(1, active, members, 1);
      lease.wait_for_all(source.token());
    }
    compute(*residency, 1, {0, 7, 8, 23});
    limit_ = 0;
    residency->trim();
    limit_ = 8 * kExpertBytes;
  }
}

// A mixture of experts whose weights are mostly experts, loaded with different budgets.
class BudgetedMixtureTest : public test::ModelTest {
 protected:
  static constexpr size_t kWidth = 128, kLayers = 3, kExperts = 32, kUsed = 4, kExpertWidth = 64;
  static constexpr uint64_t kOneExpert = 3 * kWidth * kExpertWidth * 4, kLayer = kExperts * kOneExpert;

  void write() {
    test::GgufWriter w;
    const std::string a = "qwen3moe";
    w.set_string("general.architecture", a);
    for (const auto& [key, value] : std::map<std::string, size_t>{{"block_count", kLayers}, {"context_length", 4096}, {"embedding_length", kWidth},
             {"feed_forward_length", 64}, {"attention.head_count", 2}, {"attention.head_count_kv", 1}, {"attention.key_length", 32},
             {"attention.value_length", 32}, {"expert_count", kExperts}, {"expert_used_count", kUsed}, {"expert_feed_forward_length", kExpertWidth}})
      w.set_u32(a + "." + key, static_cast<uint32_t>(value));
    w.set_f32(a + ".attention.layer_norm_rms_epsilon", 1e-6f);
    w.set_f32(a + ".rope.freq_base", 10000);
    test::MiniVocabulary().write(w, "qwen2", true);
    std::mt19937 random(9);
    std::normal_distribution<float> normal;
    const auto add = [&](const std::string& name, std::vector<uint64_t> ne, float deviation, float mean = 0) {
      size_t count = 1;
      for (uint64_t n : ne) count *= n;
      std::vector<float> values(count);
      for (float& value : values) value = mean + deviation * normal(random);
      w.add_tensor(name, gguf::Type::f32, ne, test::f32_bytes(values));
    };
    const uint64_t vocabulary = test::MiniVocabulary().tokens.size() + 3;
    const float small = 1 / std::sqrt(static_cast<float>(kWidth));
    add("token_embd.weight", {kWidth, vocabulary}, 1);
    add("output_norm.weight", {kWidth}, 0.1f, 1);
    add("output.weight", {kWidth, vocabulary}, small);
    for (size_t l = 0; l < kLayers; ++l) {
      const std::string b = "blk." + std::to_string(l) + ".";
      add(b + "attn_norm.weight", {kWidth}, 0.1f, 1), add(b + "ffn_norm.weight", {kWidth}, 0.1f, 1);
      add(b + "attn_q.weight", {kWidth, 64}, small), add(b + "attn_k.weight", {kWidth, 32}, small), add(b + "attn_v.weight", {kWidth, 32}, small);
      add(b + "attn_q_norm.weight", {32}, 0.1f, 1), add(b + "attn_k_norm.weight", {32}, 0.1f, 1);
      add(b + "attn_output.weight", {64, kWidth}, small), add(b + "ffn_gate_inp.weight", {kWidth, kExperts}, 2 * small);
      add(b + "ffn_gate_exps.weight", {kWidth, kExpertWidth, kExperts}, small), add(b + "ffn_up_exps.weight", {kWidth, kExpertWidth, kExperts}, small);
      add(b + "ffn_down_exps.weight", {kExpertWidth, kWidth, kExperts}, small);
    }
    w.write(path_);
  }
  static LoadOptions options(uint64_t budget) {
    LoadOptions options;
    options.threads = 2;
    options.context_tokens = 512;
    options.kv_type = KvType::f32;
    options.memory_budget = budget;
    return options;
  }
  // A prompt in one piece, then token by token.
  static std::vector<float> answer(const std::shared_ptr<const Model>& model) {
    auto timeline = *Timeline::create(model, {.kv_type = KvType::f32, .share_prefixes = false});
    std::vector<TokenId> prompt;
    for (int i = 0; i < 300; ++i) prompt.push_back((i * 31 + i / 5) % 250);
    std::vector<float> all;
    const auto keep = [&](const Status& status) {
      EXPECT_TRUE(status) << status.to_string();
      all.insert(all.end(), timeline->logits().begin(), timeline->logits().end());
    };
    keep(timeline->append(prompt, {}));
    for (TokenId token = 0; token < 40; ++token) keep(timeline->append({&token, 1}, {}));
    return all;
  }
};

TEST_F(BudgetedMixtureTest, GivesTheSameToTheLastBitAndKeepsWithinItsBudget) {
  write();
  const auto inspected = Model::inspect(path_, options(0));
  ASSERT_TRUE(inspected) << inspected.status().to_string();
  const MemoryEstimate& needs = inspected->second;
  const uint64_t all = needs.total() - needs.prefix_cache, experts = kLayers * kLayer;
  EXPECT_EQ(all - needs.least, experts - kUsed * kOneExpert + (needs.scratch - (needs.least - (needs.weights - experts) - needs.kv_cache - kUsed * kOneExpert)));
  std::vector<float> want;
  {
    const auto model = *Model::load(path_, options(0));
    want = answer(model);
    EXPECT_FALSE(model->memory().on_demand);
    EXPECT_GT(in_memory(path_), experts * 9 / 10);
  }
  // From all but a few to a few: below a layer's experts, batches are smaller.
  for (const uint64_t budget : {all - kOneExpert, all - kLayer, all - 2 * kLayer, needs.least + kLayer / 2, needs.least}) {
    const auto model = Model::load(path_, options(budget));
    ASSERT_TRUE(model) << model.status().to_string();
    EXPECT_EQ(answer(*model), want) << budget;
    const MemoryUse use = (*model)->memory();
    EXPECT_TRUE(use.on_demand);
    EXPECT_EQ(use.weights, needs.weights - experts);
    EXPECT_LE(use.experts.bytes_in_memory, use.experts_limit);
    EXPECT_LE(use.weights + use.scratch + use.experts_limit + use.sessions, budget);
    EXPECT_GE(use.experts.misses, use.experts.bytes_in_memory / kOneExpert);
    EXPECT_LE(in_memory(path_), use.weights + use.experts_limit + (768 << 10)) << "of " << budget;
  }
  const auto sparse = *Model::load(path_, options(all - kLayer / 2));
  answer(sparse);
  EXPECT_GT(sparse->memory().experts.hit_rate(), 0.5);
  const Status refused = Model::load(path_, options(needs.least - 1)).status();
  EXPECT_EQ(refused.code(), StatusCode::out_of_memory);
  EXPECT_NE(refused.message().find("on demand"), std::string::npos);
}

TEST_F(BudgetedMixtureTest, SessionsTakeFromTheExpertsAndGiveBack) {
  write();
  const MemoryEstimate needs = Model::inspect(path_, options(0))->second;
  const auto model = *Model::load(path_, options(needs.total() - needs.prefix_cache - kLayer));
  answer(model);
  const uint64_t limit = model->memory().experts_limit;
  std::vector<std::unique_ptr<Timeline>> sessions;
  const std::vector<TokenId> prompt(600, 7);
  Status status;
  while (sessions.size() < 100) {
    auto timeline = *Timeline::create(model, {.kv_type = KvType::f32, .share_prefixes = false});
    if (status = timeline->append(prompt, {}); !status) break;
    sessions.push_back(std::move(timeline));
  }
  ASSERT_GT(sessions.size(), 1u);
  EXPECT_EQ(status.code(), StatusCode::out_of_memory);
  EXPECT_NE(status.message().find("budget"), std::string::npos) << status.to_string();
  const MemoryUse use = model->memory();
  EXPECT_LT(use.experts_limit, limit);
  EXPECT_LE(use.experts.bytes_in_memory, use.experts_limit);
  EXPECT_LE(use.sessions, use.sessions_limit);
  const TokenId next = 8;
  for (const auto& session : sessions) EXPECT_TRUE(session->append({&next, 1}, {})) << "those who are in go on";
  sessions.clear();
  EXPECT_EQ(model->memory().sessions, 0u);
  EXPECT_EQ(model->memory().experts_limit, limit);
}

}  // namespace
}  // namespace wenqu::engine
