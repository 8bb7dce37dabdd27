#include "engine/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "tests/engine/model_fixture.h"

namespace wenqu::engine {
namespace {

const KvShape kShape{.layers = 1, .heads = 1, .key = 2, .value = 0};
constexpr uint64_t kSegmentBytes = 256 * 2 * 4;

// A cache whose rows spell what was read up to them, so that a row in a wrong place shows.
KvCache spelled(std::span<const TokenId> tokens) {
  KvCache cache(kShape);
  EXPECT_TRUE(cache.resize(tokens.size()));
  uint32_t hash = 1;
  for (size_t t = 0; t < tokens.size(); ++t) {
    hash = hash * 31 + static_cast<uint32_t>(tokens[t]);
    const float row[2] = {static_cast<float>(hash & 0xFFFF), static_cast<float>(hash >> 16)};
    cache.put(0, 0, t, row, nullptr);
  }
  return cache;
}

void expect_spells(const KvCache& cache, std::span<const TokenId> tokens) {
  ASSERT_LE(cache.size(), tokens.size());
  uint32_t hash = 1;
  for (size_t t = 0; t < cache.size(); ++t) {
    hash = hash * 31 + static_cast<uint32_t>(tokens[t]);
    float row[2];
    std::memcpy(row, cache.keys(0, 0, t / 256) + t % 256 * 8, 8);
    ASSERT_EQ(row[0], static_cast<float>(hash & 0xFFFF)) << t;
    ASSERT_EQ(row[1], static_cast<float>(hash >> 16)) << t;
  }
}

std::vector<TokenId> some(size_t count, int seed) {
  std::vector<TokenId> tokens;
  for (size_t i = 0; i < count; ++i) tokens.push_back(static_cast<TokenId>((i * 7 + static_cast<size_t>(seed) * i * i) % 100));
  return tokens;
}

void insert(PrefixCache& prefixes, std::span<const TokenId> tokens) {
  KvCache cache = spelled(tokens);
  prefixes.insert({}, cache, tokens);
}

size_t found(PrefixCache& prefixes, std::span<const TokenId> tokens) {
  const KvCache cache = prefixes.find({}, kShape, tokens);
  expect_spells(cache, tokens);
  return cache.size();
}

TEST(PrefixCache, FindsTheLongestCommonBeginningToTheToken) {
  PrefixCache prefixes(1 << 20);
  const std::vector<TokenId> known = some(700, 1);
  EXPECT_EQ(found(prefixes, known), 0u);
  insert(prefixes, known);
  EXPECT_EQ(found(prefixes, known), 700u);
  for (size_t same : {0, 1, 100, 255, 256, 257, 512, 699}) {
    std::vector<TokenId> other = known;
    other[same] = 999;
    EXPECT_EQ(found(prefixes, other), same);
    EXPECT_EQ(found(prefixes, std::span(known).first(same)), same);
  }
  std::vector<TokenId> longer = known;
  longer.push_back(5);
  EXPECT_EQ(found(prefixes, longer), 700u);
  EXPECT_EQ(prefixes.find({.deterministic = true}, kShape, known).size(), 0u) << "kinds do not mix";
}

TEST(PrefixCache, AConversationThatGrowsTakesTheRoomOfOne) {
  PrefixCache prefixes(1 << 20);
  const std::vector<TokenId> all = some(600, 2);
  for (size_t size : {10, 100, 250, 300, 520, 600, 400, 20}) insert(prefixes, std::span(all).first(size));
  EXPECT_EQ(prefixes.bytes(), 3 * kSegmentBytes);
  EXPECT_EQ(found(prefixes, all), 600u);
}

TEST(PrefixCache, WhatWasUnusedTheLongestGoesFirst) {
  PrefixCache prefixes(4 * kSegmentBytes);
  const std::vector<TokenId> a = some(300, 3), b = some(300, 4), c = some(300, 5);
  insert(prefixes, a);
  insert(prefixes, b);
  EXPECT_EQ(found(prefixes, a), 300u);
  insert(prefixes, c);
  EXPECT_LE(prefixes.bytes(), 4 * kSegmentBytes);
  EXPECT_EQ(found(prefixes, a), 300u);
  EXPECT_EQ(found(prefixes, c), 300u);
  EXPECT_LT(found(prefixes, b), 300u);
  PrefixCache none(0);
  insert(none, a);
  EXPECT_EQ(none.bytes(), 0u);
}

TEST(PrefixCache, BehavesAsAListOfAllThatWasReadWouldWhileThereIsRoom) {
  std::mt19937 random(7);
  PrefixCache prefixes(64 << 20);
  std::vector<std::vector<TokenId>> read;
  for (int round = 0; round < 200; ++round) {
    // Half of a known line, then something else.
    std::vector<TokenId> tokens;
    if (!read.empty()) {
      const std::vector<TokenId>& base = read[random() % read.size()];
      tokens.assign(base.begin(), base.begin() + static_cast<std::ptrdiff_t>(random() % (base.size() + 1)));
    }
    for (size_t i = random() % 400; i > 0; --i) tokens.push_back(static_cast<TokenId>(random() % 3));
    if (tokens.empty()) continue;
    size_t want = 0;
    for (const std::vector<TokenId>& known : read)
      want = std::max(want, static_cast<size_t>(std::ranges::mismatch(known, tokens).in1 - known.begin()));
    ASSERT_EQ(found(prefixes, tokens), want);
    insert(prefixes, tokens);
    read.push_back(tokens);
  }
}

class SharedPrefixTest : public test::ModelTest {};

TEST_F(SharedPrefixTest, ATimelineThatBeginsAlikeReadsOnlyTheRestAndGivesTheSame) {
  for (bool deepseek : {false, true}) {
    test::ReferenceModel({.deepseek = deepseek}).writer().write(path_);
    LoadOptions options;
    options.prefix_cache_bytes = 0;
    const auto plain = *Model::load(path_, options);
    const auto sharing = *Model::load(path_, {});
    const TimelineOptions deterministic{.deterministic = true};
    const auto after = [&](const std::shared_ptr<const Model>& model, const std::vector<TokenId>& tokens, size_t reused) {
      auto timeline = *Timeline::create(model, deterministic);
      std::vector<size_t> told;
      EXPECT_TRUE(timeline->append(tokens, {}, [&](size_t done, size_t) { told.push_back(done); }));
      EXPECT_EQ(timeline->reused_tokens(), reused);
      EXPECT_EQ(told.front(), reused);
      return std::vector<float>(timeline->logits().begin(), timeline->logits().end());
    };
    std::vector<TokenId> tokens = some(300, 1), other = tokens;
    other.resize(280);
    other.insert(other.end(), {7, 8, 9});
    const std::vector<float> want = after(plain, tokens, 0), want_other = after(plain, other, 0);
    EXPECT_EQ(after(sharing, tokens, 0), want);
    EXPECT_EQ(after(sharing, tokens, 299), want) << "the last token is read for its logits";
    EXPECT_EQ(after(sharing, other, 280), want_other);
    EXPECT_EQ(after(sharing, tokens, 299), want) << "what the other read behind the common part changed nothing";
    // An answer and the next question go on where the last turn ended.
    {
      auto timeline = *Timeline::create(sharing, deterministic);
      ASSERT_TRUE(timeline->append(tokens, {}));
      for (TokenId token : {1, 2, 3}) ASSERT_TRUE(timeline->append({&token, 1}, {}));
    }
    tokens.insert(tokens.end(), {1, 2, 3, 50, 51});
    EXPECT_EQ(after(sharing, tokens, 303), after(plain, tokens, 0));
    auto private_one = *Timeline::create(sharing, {.deterministic = true, .share_prefixes = false});
    ASSERT_TRUE(private_one->append(tokens, {}));
    EXPECT_EQ(private_one->reused_tokens(), 0u);
  }
}

}  // namespace
}  // namespace wenqu::engine
