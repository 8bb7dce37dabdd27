#include "engine/timeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "engine/generate.h"
#include "tests/engine/model_fixture.h"

namespace wenqu::engine {
namespace {

using test::kTokens;
using test::ReferenceModel;
using test::ReferenceOptions;

class TimelineTest : public test::ModelTest {
 protected:
  void TearDown() override {
    std::filesystem::remove(saved());
    ModelTest::TearDown();
  }
  std::string saved() const { return path_ + ".session"; }

  static std::unique_ptr<Timeline> fresh(const std::shared_ptr<const Model>& model, const TimelineOptions& options = {}) {
    return *Timeline::create(model, options);
  }
  // Tokens over a segment of the cache.
  static std::vector<TokenId> some_tokens(int count) {
    std::vector<TokenId> tokens;
    for (int i = 0; i < count; ++i) tokens.push_back((i * 7 + i / 11) % 260);
    return tokens;
  }
  static std::vector<float> logits(const Timeline& timeline) { return {timeline.logits().begin(), timeline.logits().end()}; }
  static std::vector<float> after(Timeline& timeline, const std::vector<TokenId>& more) {
    EXPECT_TRUE(timeline.append(more, {}));
    return logits(timeline);
  }
};

TEST_F(TimelineTest, OneByOneInChunksOrAtOnceIsTheSameToTheLastBitWhenDeterministic) {
  const std::vector<TokenId> tokens = some_tokens(600);   // over segments of the cache and a batch
  for (bool deepseek : {false, true})
    for (KvType type : kKvTypes) {
      const auto model = load({.deepseek = deepseek, .seed = 5});
      const TimelineOptions options{.kv_type = type, .deterministic = true};
      const std::vector<float> at_once = after(*fresh(model, options), tokens);
      auto one_by_one = fresh(model, options);
      for (TokenId token : tokens) ASSERT_TRUE(one_by_one->append({&token, 1}, {}));
      auto chunks = fresh(model, options);
      for (size_t i = 0; i < tokens.size(); i += 70)
        ASSERT_TRUE(chunks->append(std::span(tokens).subspan(i, std::min<size_t>(70, tokens.size() - i)), {}));
      EXPECT_EQ(at_once, logits(*one_by_one)) << kv_type_name(type);
      EXPECT_EQ(at_once, logits(*chunks)) << kv_type_name(type);
    }
}

TEST_F(TimelineTest, TheFormsOfLatentAttentionAgree) {
  const std::vector<TokenId> tokens = some_tokens(700);
  for (bool q_lora : {true, false}) {
    const auto model = load({.deepseek = true, .seed = 11, .q_lora = q_lora});
    // At once the keys are expanded, one by one they are not.
    const std::vector<float> expanded = all_logits(model, tokens);
    auto absorbed = fresh(model, {.kv_type = KvType::f32, .deterministic = true});
    const std::vector<float> wanted = *absorbed->append_with_logits(tokens, {});
    EXPECT_NE(expanded, wanted) << "both took the same form";
    EXPECT_LT(distance(expanded, wanted), 2e-5);
    // A prompt behind what was read one by one.
    auto both = fresh(model, {.kv_type = KvType::f32});
    for (size_t i = 0; i < 300; ++i) ASSERT_TRUE(both->append({&tokens[i], 1}, {}));
    EXPECT_LT(distance(after(*both, {tokens.begin() + 300, tokens.end()}), std::span(wanted).last(model->info().vocabulary)), 2e-5);
  }
}

TEST_F(TimelineTest, SmallerTypesOfTheCacheStayNearTheExactOne) {
  const std::vector<TokenId> tokens = some_tokens(300);
  for (const ReferenceOptions& options : {ReferenceOptions{.seed = 12}, ReferenceOptions{.deepseek = true, .seed = 12}}) {
    const auto model = load(options);
    const size_t vocabulary = model->info().vocabulary;
    const std::vector<float> exact = all_logits(model, tokens);
    // The median over the tokens: a choice of experts that is turned over takes single ones far off.
    const auto error = [&](KvType type) {
      const std::vector<float> all = all_logits(model, tokens, {.kv_type = type});
      std::vector<double> errors;
      for (size_t at = 0; at < all.size(); at += vocabulary)
        errors.push_back(distance(std::span(all).subspan(at, vocabulary), std::span(exact).subspan(at, vocabulary)));
      std::nth_element(errors.begin(), errors.begin() + 150, errors.end());
      return errors[150];
    };
    const double half = error(KvType::f16), eight = error(KvType::q8_0), bfloat = error(KvType::bf16), small = error(KvType::fp8);
    EXPECT_GT(half, 0);
    EXPECT_LT(half, 1e-3);
    EXPECT_GT(eight, half);
    EXPECT_LT(eight, 2e-2);
    EXPECT_GT(bfloat, half);
    EXPECT_LT(bfloat, 1e-2);
    EXPECT_GT(small, eight);
    EXPECT_LT(small, 0.15);   // three bits of fraction
  }
}

TEST_F(TimelineTest, TheCacheTakesTheBytesThatItsTypeNeeds) {
  const auto model = load({.deepseek = true});
  const auto bytes = [&](KvType type) {
    auto timeline = fresh(model, {.kv_type = type});
    EXPECT_TRUE(timeline->append(kTokens, {}));
    return timeline->cache_bytes();
  };
  EXPECT_EQ(bytes(KvType::f32), 256u * 3 * 40 * 4);   // tokens of a segment, layers, latent and rotated key
  EXPECT_EQ(bytes(KvType::f16), 256u * 3 * 40 * 2);
  EXPECT_EQ(bytes(KvType::q8_0), 256u * 3 * 2 * 34);  // two blocks of 32, the second filled up
  EXPECT_EQ(bytes(KvType::fp8), 256u * 3 * (4 + 40));
}

TEST_F(TimelineTest, ActivationsBeyondHalfFloatsDoNotSpoilTheCache) {
  // Values of some millions in the residual stream and in the cached values.
  for (KvType type : {KvType::f16, KvType::q8_0}) {
    const auto model = load({.seed = 13, .weight_scale = 3000, .value_scale = 100000});
    for (float logit : after(*fresh(model, {.kv_type = type}), kTokens)) ASSERT_TRUE(std::isfinite(logit));
  }
}

TEST_F(TimelineTest, ATruncatedTimelineGoesOnAsIfTheRestHadNeverBeen) {
  const auto model = load({.deepseek = true});
  auto timeline = fresh(model, {.deterministic = true});
  const std::vector<float> want = after(*timeline, kTokens);
  ASSERT_TRUE(timeline->truncate(4));
  EXPECT_TRUE(timeline->logits().empty());
  ASSERT_TRUE(timeline->append(std::vector<TokenId>{1, 1, 1}, {}));
  ASSERT_TRUE(timeline->truncate(4));
  EXPECT_EQ(after(*timeline, {kTokens.begin() + 4, kTokens.end()}), want);
  EXPECT_EQ(timeline->truncate(99).code(), StatusCode::invalid_argument);
}

TEST_F(TimelineTest, ForksGoTheirOwnWaysFromWhatTheyShare) {
  for (const int shared : {3, 256, 300}) {   // inside the first segment, at its end, inside the second
    const auto model = load({.deepseek = true});
    const TimelineOptions options{.deterministic = true};
    const std::vector<TokenId> prefix = some_tokens(shared), left = {9, 8, 7}, right = {250, 3};
    std::vector<TokenId> both = prefix;
    both.insert(both.end(), left.begin(), left.end());
    const std::vector<float> want_left = after(*fresh(model, options), both);
    both = prefix;
    both.insert(both.end(), right.begin(), right.end());
    const std::vector<float> want_right = after(*fresh(model, options), both);

    auto one = fresh(model, options);
    ASSERT_TRUE(one->append(prefix, {}));
    auto fork = one->fork();
    ASSERT_TRUE(fork) << fork.status().to_string();
    EXPECT_EQ(logits(**fork), logits(*one));
    EXPECT_EQ((*fork)->tokens().size(), prefix.size());
    EXPECT_EQ(after(*one, left), want_left);
    EXPECT_EQ(after(**fork, right), want_right);
    // Back to what was shared, and on another way; then without the other.
    ASSERT_TRUE(one->truncate(prefix.size()));
    EXPECT_EQ(after(*one, right), want_right);
    ASSERT_TRUE((*fork)->truncate(prefix.size()));
    one.reset();
    EXPECT_EQ(after(**fork, left), want_left);
  }
}

TEST_F(TimelineTest, AForkOfAForkTruncatedIntoASharedSegmentLeavesTheOthersAlone) {
  const auto model = load({});
  auto one = fresh(model, {.deterministic = true});
  const std::vector<TokenId> prefix = some_tokens(400);
  ASSERT_TRUE(one->append(prefix, {}));
  auto two = *one->fork();
  auto three = *two->fork();
  ASSERT_TRUE(three->truncate(100));
  ASSERT_TRUE(three->append(some_tokens(250), {}));
  ASSERT_TRUE(two->truncate(399));
  const std::vector<float> want = after(*one, {5});
  ASSERT_TRUE(two->append({&prefix[399], 1}, {}));
  EXPECT_EQ(after(*two, {5}), want);
}

TEST_F(TimelineTest, WhatWasSavedAndRestoredGoesOnAsIfItHadNeverStopped) {
  for (bool deepseek : {false, true})
    for (KvType type : kKvTypes)
      for (int count : {0, 1, 256, 300}) {
        const auto model = load({.deepseek = deepseek});
        auto timeline = fresh(model, {.kv_type = type, .deterministic = true});
        ASSERT_TRUE(timeline->append(some_tokens(count), {}));
        ASSERT_TRUE(timeline->save(saved()));
        // Another instance of the same file, as after a restart.
        const auto again = *Model::load(path_, {});
        auto restored = Timeline::restore(again, saved());
        ASSERT_TRUE(restored) << restored.status().to_string();
        EXPECT_EQ((*restored)->options().kv_type, type);
        EXPECT_TRUE((*restored)->options().deterministic);
        EXPECT_EQ(logits(**restored), logits(*timeline));
        EXPECT_TRUE(std::ranges::equal((*restored)->tokens(), timeline->tokens()));
        EXPECT_EQ(after(**restored, kTokens), after(*timeline, kTokens));
      }
}

TEST_F(TimelineTest, ASessionOfAnotherModelIsRefused) {
  auto timeline = fresh(load({.seed = 1}));
  ASSERT_TRUE(timeline->append(kTokens, {}));
  ASSERT_TRUE(timeline->save(saved()));
  const Status status = Timeline::restore(load({.seed = 2}), saved()).status();
  EXPECT_EQ(status.code(), StatusCode::version_mismatch);
  EXPECT_NE(status.where().find(saved()), std::string::npos);
  EXPECT_TRUE(Timeline::restore(load({.seed = 1}), saved()));
  EXPECT_EQ(Timeline::restore(load({.seed = 1}), saved(), {.max_tokens = 5}).status().code(), StatusCode::limit_exceeded);
  // The same file, routed in another way, is another model.
  const ReferenceOptions experts{.deepseek = true};
  auto routed = fresh(load(experts));
  ASSERT_TRUE(routed->save(saved()));
  LoadOptions options;
  options.expert_groups = 1, options.expert_groups_used = 1;
  EXPECT_EQ(Timeline::restore(*Model::load(path_, options), saved()).status().code(), StatusCode::version_mismatch);
}

// Whoever begins alike afterwards does not take over what was never read.
TEST_F(TimelineTest, ASessionThatDoesNotFitLeavesNothingBehind) {
  const auto model = load({});
  auto timeline = fresh(model);
  ASSERT_TRUE(timeline->append(some_tokens(1000), {}));
  ASSERT_TRUE(timeline->save(saved()));
  LoadOptions options;
  options.memory_budget = model->info().file_bytes;
  for (Result<std::shared_ptr<const Model>> tight = Model::load(path_, options); ; tight = Model::load(path_, options)) {
    if (tight) {
      const Status status = Timeline::restore(*tight, saved()).status();
      if (status) break;   // now it fits
      EXPECT_EQ(status.code(), StatusCode::out_of_memory) << status.to_string();
      auto next = fresh(*tight);
      const Status read = next->append(some_tokens(40), {});
      EXPECT_TRUE(read || read.code() == StatusCode::out_of_memory) << read.to_string();
    }
    options.memory_budget += 256 << 10;
    ASSERT_LT(options.memory_budget, uint64_t{1} << 30);
  }
}

TEST_F(TimelineTest, ADamagedSessionIsRefusedWhereverTheDamageIs) {
  const auto model = load({});
  auto timeline = fresh(model);
  ASSERT_TRUE(timeline->append(kTokens, {}));
  ASSERT_TRUE(timeline->save(saved()));
  std::ifstream in(saved(), std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(in), {}};
  const auto restore = [&](const std::string& bytes) {
    std::ofstream(saved(), std::ios::binary) << bytes;
    return Timeline::restore(model, saved()).status();
  };
  ASSERT_TRUE(restore(good));
  for (size_t at = 0; at < good.size(); at += 1 + at / 50) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x20);
    const Status status = restore(bad);
    ASSERT_FALSE(status) << "byte " << at;
    EXPECT_TRUE(status.code() == StatusCode::corrupt || status.code() == StatusCode::version_mismatch ||
                status.code() == StatusCode::limit_exceeded) << status.to_string();
    EXPECT_FALSE(restore(good.substr(0, at))) << "cut at " << at;
  }
  EXPECT_FALSE(restore(good + "x"));
  EXPECT_EQ(Timeline::restore(model, saved() + ".none").status().code(), StatusCode::not_found);
}

TEST_F(TimelineTest, ACancelledAppendLeavesTheTimelineAsItWas) {
  const auto model = load({});
  auto timeline = *Timeline::create(model);
  ASSERT_TRUE(timeline->append(kTokens, {}));
  const std::vector<float> before(timeline->logits().begin(), timeline->logits().end());
  CancelSource source;
  const std::vector<TokenId> more(900, 3);
  const Status status = timeline->append(more, source.token(), [&](size_t done, size_t) {
    if (done > 0) source.cancel();
  });
  EXPECT_EQ(status.code(), StatusCode::cancelled);
  EXPECT_EQ(timeline->tokens().size(), kTokens.size());
  EXPECT_TRUE(std::equal(before.begin(), before.end(), timeline->logits().begin()));
}

TEST_F(TimelineTest, TokensThatAreNoneAndContextsThatAreFullAreErrors) {
  const auto model = load({});
  auto timeline = *Timeline::create(model, {.max_tokens = 5});
  EXPECT_EQ(timeline->append(std::vector<TokenId>{1, -1}, {}).code(), StatusCode::invalid_argument);
  EXPECT_EQ(timeline->append(std::vector<TokenId>{1, 1 << 20}, {}).where(), "token 1");
  EXPECT_TRUE(timeline->tokens().empty());
  EXPECT_EQ(timeline->append(std::vector<TokenId>(6, 1), {}).code(), StatusCode::limit_exceeded);
  EXPECT_TRUE(timeline->append(std::vector<TokenId>(5, 1), {}));
  Sampler sampler = *Sampler::create({.seed = 1});
  const auto full = generate(*timeline, sampler, {.max_tokens = 3}, [](const GeneratedToken&) { return true; }, {});
  EXPECT_EQ(full->reason, StopReason::context_full);
}

}  // namespace
}  // namespace wenqu::engine
