#include "engine/cuda/attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/cuda/kernel_list.h"
#include "tests/engine/cuda/cache_fixture.h"
#include "tests/engine/cuda/weights_fixture.h"
#include "tests/engine/cuda/test_device.h"

namespace wenqu::test {
namespace {

using testing::HasSubstr;

struct AttentionCase {
  AttentionShape shape;
  KvType type = KvType::f16;
  std::vector<size_t> contexts;   // of the sequences, their new tokens among them
  std::vector<int> tokens;        // new ones of each
  int multiprocessors = 1;
  size_t shared_bytes = 227 << 10;
  size_t room = engine::cuda::kMostPartial;
  bool alike = false;
};

class CudaAttentionTest : public testing::Test {
 protected:
  // What the tokens' heads get, in double precision.
  std::vector<double> reference(const HostCaches& caches, const AttentionShape& shape, const std::vector<Place>& places,
                                const std::vector<float>& queries, size_t layer, float scale) {
    const size_t heads = static_cast<size_t>(shape.heads), key = static_cast<size_t>(shape.key), value = static_cast<size_t>(shape.value);
    std::vector<double> out(places.size() * heads * value);
    for (size_t h = 0; h < static_cast<size_t>(shape.kv_heads); ++h)
      for (int s = 0; s < static_cast<int>(caches.sequences()); ++s) {
        std::vector<std::vector<float>> keys, values;
        for (size_t k = 0; k < caches.cache(s).size(); ++k) {
          keys.push_back(caches.key(s, layer, h, k));
          values.push_back(shape.values_are_keys ? keys.back() : caches.value(s, layer, h, k));
        }
        for (size_t t = 0; t < places.size(); ++t) {
          if (places[t].sequence != s) continue;
          const size_t group = heads / static_cast<size_t>(shape.kv_heads), seen = static_cast<size_t>(places[t].position) + 1;
          for (size_t head = h * group; head < (h + 1) * group; ++head) {
            std::vector<double> scores(seen);
            for (size_t k = 0; k < seen; ++k) scores[k] = dot(queries.data() + (t * heads + head) * key, keys[k].data(), shape.key) * double{scale};
            const double largest = *std::max_element(scores.begin(), scores.end());
            double sum = 0;
            for (double& score : scores) sum += score = std::exp(score - largest);
            double* const to = out.data() + (t * heads + head) * value;
            for (size_t k = 0; k < seen; ++k)
              for (size_t i = 0; i < value; ++i) to[i] += scores[k] / sum * double{values[k][i]};
          }
        }
      }
    return out;
  }

  void check(const AttentionCase& c) {
    const AttentionShape& shape = c.shape;
    HostCaches caches({.layers = 2, .heads = static_cast<size_t>(shape.kv_heads), .key = static_cast<size_t>(shape.key),
                       .value = shape.values_are_keys ? 0 : static_cast<size_t>(shape.value), .type = c.type}, c.contexts);
    caches.fill(random_);
    const DevicePages pages(device_, caches);
    std::vector<Place> places;
    for (size_t s = 0; s < c.tokens.size(); ++s)
      for (int i = 0; i < c.tokens[s]; ++i)
        places.push_back({static_cast<int32_t>(s), static_cast<int32_t>(c.contexts[s]) - c.tokens[s] + i});
    const float scale = 1.5f / std::sqrt(static_cast<float>(shape.key));
    const std::vector<float> queries = random_floats(places.size() * static_cast<size_t>(shape.heads * shape.key), random_);
    DeviceInfo info = device_.info();
    info.multiprocessors = c.multiprocessors, info.shared_bytes = std::min(c.shared_bytes, device_.info().shared_bytes);
    const Result<AttentionPlan> plan =
        attention_plan(shape, places, static_cast<int>(*std::max_element(c.contexts.begin(), c.contexts.end())), info, c.alike, c.room);
    ASSERT_TRUE(plan) << plan.status().to_string();
    plan_ = *plan;
    EXPECT_LE(plan->partial_numbers(shape), c.room);

    const Array<float> on_device(device_, queries), out(device_, places.size() * static_cast<size_t>(shape.heads * shape.value));
    const Array<float> partial(device_, std::max<size_t>(1, plan->partial_numbers(shape)));
    const Array<Float2> partial_scale(device_, std::max<size_t>(1, plan->partial_scales(shape)));
    const Array<QueryTile> tiles(device_, plan->tiles);
    const Array<Place> where(device_, places);
    // Rounded too, where that can be asked for.
    const bool round = shape.value % kBlock == 0;
    const size_t numbers = places.size() * static_cast<size_t>(shape.heads * shape.value);
    const Array<int8_t> q(device_, numbers);
    const Array<float> scales(device_, numbers / kBlock + 1);
    const uint64_t before = bytes_loaded();
    Status status = attend(device_, *plan, {on_device.data(), out.data(), partial.data(), partial_scale.data(), tiles.data(), where.data(), pages.rows(1),
                                            shape.heads, shape.heads, 0, shape.value, shape.values_are_keys, scale},
                           round ? Rounded{q.data(), scales.data(), shape.value} : Rounded());
    ASSERT_TRUE(status) << status.to_string();
    loaded_ = bytes_loaded() - before;
    const std::vector<float> got = got_ = out.values();
    if (round) {
      std::vector<float> steps(numbers / kBlock);
      ASSERT_TRUE(device_.download(steps.data(), scales.data(), steps.size() * sizeof(float)));
      const std::vector<int8_t> bytes = q.values();
      for (size_t i = 0; i < numbers; ++i)
        ASSERT_NEAR(steps[i / kBlock] * static_cast<float>(bytes[i]), got[i], steps[i / kBlock] * 0.51) << i;
    }
    const std::vector<double> want = reference(caches, shape, places, queries, 1, scale);
    for (size_t at = 0; at < want.size(); at += static_cast<size_t>(shape.value)) {
      double error = 0, norm = 0;
      for (size_t i = at; i < at + static_cast<size_t>(shape.value); ++i) error += (got[i] - want[i]) * (got[i] - want[i]), norm += want[i] * want[i];
      ASSERT_LE(std::sqrt(error), 2e-3 * std::sqrt(norm)) << "token " << at / static_cast<size_t>(shape.heads * shape.value) << ", head "
                                                           << at / static_cast<size_t>(shape.value) % static_cast<size_t>(shape.heads);
    }
  }

  std::mt19937 random_{5};
  uint64_t bytes_loaded() const { return device_.emulator() ? device_.emulator()->bytes_loaded() : 0; }

  TestDevice device_;
  AttentionPlan plan_;
  std::vector<float> got_;
  uint64_t loaded_ = 0;
};

TEST_F(CudaAttentionTest, OneTokenOfEachSequenceSeesItsOwnKeys) {
  for (const KvType type : engine::kKvTypes)
    check({{.heads = 12, .kv_heads = 2, .key = 64, .value = 64}, type, {1, 600, 64, 257}, {1, 1, 1, 1}});
}

TEST_F(CudaAttentionTest, GroupsOfHeadsShareTheirKeys) {
  check({{.heads = 3, .kv_heads = 3, .key = 16, .value = 16}, KvType::f16, {70}, {1}});
  check({{.heads = 8, .kv_heads = 1, .key = 128, .value = 128}, KvType::f16, {200}, {1}});
  check({{.heads = 32, .kv_heads = 2, .key = 32, .value = 32}, KvType::f16, {130}, {1}});
  check({{.heads = 40, .kv_heads = 1, .key = 24, .value = 40}, KvType::f16, {90, 3}, {1, 1}});
}

TEST_F(CudaAttentionTest, TokensOfAPromptSeeWhatIsBeforeThem) {
  check({{.heads = 6, .kv_heads = 1, .key = 64, .value = 64}, KvType::f16, {70}, {70}});
  check({{.heads = 2, .kv_heads = 2, .key = 128, .value = 128}, KvType::q8_0, {300, 5, 40}, {37, 5, 1}});
  check({{.heads = 4, .kv_heads = 2, .key = 48, .value = 16}, KvType::f32, {260, 33}, {9, 33}});
  check({{.heads = 2, .kv_heads = 2, .key = 192, .value = 128}, KvType::f16, {66}, {66}});   // as expanded MLA has them
}

TEST_F(CudaAttentionTest, LongContextsAreSplit) {
  check({{.heads = 6, .kv_heads = 1, .key = 32, .value = 32}, KvType::f16, {600, 1, 129}, {1, 1, 1}, 100});
  EXPECT_EQ(plan_.turns[0].splits, 5);
  check({{.heads = 6, .kv_heads = 1, .key = 32, .value = 136}, KvType::f16, {600, 7}, {3, 2}, 100});
  EXPECT_EQ(plan_.turns[0].splits, 10);
  check({{.heads = 2, .kv_heads = 1, .key = 16, .value = 136}, KvType::f16, {2200, 2100}, {1, 1}, 132});
  EXPECT_EQ(plan_.turns[0].splits, 35);
}

// A long context among short ones is not left to a few blocks.
TEST_F(CudaAttentionTest, BlocksShareTheKeysOfAllContexts) {
  check({{.heads = 2, .kv_heads = 1, .key = 16, .value = 16}, KvType::f16, {40, 2200, 30, 1}, {1, 1, 1, 1}, 8});
  EXPECT_EQ(plan_.split_keys, 192);
  EXPECT_EQ(plan_.turns[0].splits, 12);
}

// Where the partial sums of a batch have no room, its tokens are attended to in turns, and short contexts are not split for long ones.
TEST_F(CudaAttentionTest, WhatLeavesMorePartialSumsThanThereIsRoomForTakesTurns) {
  const AttentionShape grouped{.heads = 6, .kv_heads = 1, .key = 32, .value = 32}, latents{.heads = 5, .kv_heads = 1, .key = 48, .value = 32, .values_are_keys = true};
  for (const AttentionShape& shape : {grouped, latents}) {
    const size_t row = static_cast<size_t>(shape.heads * shape.value);
    check({.shape = shape, .contexts = {40, 600, 30}, .tokens = {40, 1, 30}, .multiprocessors = 100, .room = 12 * row});
    EXPECT_EQ(plan_.turns.size(), 3u);
    EXPECT_EQ(plan_.turns[0].splits, 1);
    EXPECT_GT(plan_.turns[1].splits, 1);
  }
  check({.shape = grouped, .contexts = {600, 500}, .tokens = {90, 1}, .multiprocessors = 100, .room = 0});   // none is split
  EXPECT_EQ(plan_.turns.size(), 1u);
  // More tiles than a launch has blocks for.
  const AttentionShape one_row{.heads = 16, .kv_heads = 1, .key = 576, .value = 512, .values_are_keys = true};
  std::vector<Place> places;
  for (int32_t i = 0; i < 70000; ++i) places.push_back({i, 0});
  const Result<AttentionPlan> plan = attention_plan(one_row, places, 1, device_.info());
  ASSERT_TRUE(plan) << plan.status().to_string();
  EXPECT_EQ(plan->turns.size(), 2u);
}

TEST_F(CudaAttentionTest, RowsThatAreToBeAlikeAreSoInTurnsToo) {
  const AttentionShape grouped{.heads = 6, .kv_heads = 1, .key = 32, .value = 32}, alone{.heads = 2, .kv_heads = 2, .key = 16, .value = 16};
  for (const AttentionShape& shape : {grouped, alone}) {
    const size_t row = static_cast<size_t>(shape.heads * shape.value);
    std::vector<std::vector<float>> got;
    for (const size_t room : {engine::cuda::kMostPartial, 6 * row, 3 * row}) {
      random_.seed(8);
      check({.shape = shape, .contexts = {1030, 2060}, .tokens = {9, 3}, .multiprocessors = 100, .room = room, .alike = true});
      got.push_back(got_);
    }
    EXPECT_GT(plan_.turns.size(), 5u);
    EXPECT_EQ(got[1], got[0]);
    EXPECT_EQ(got[2], got[0]);
  }
  const std::vector<Place> places = {{0, 9000}};
  const Result<AttentionPlan> plan = attention_plan(grouped, places, 9001, device_.info(), true, 8 * 6 * 32);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.status().code(), StatusCode::limit_exceeded);
}

// Batches whose partial sums would be gigabytes if all their tokens were split alike.
TEST_F(CudaAttentionTest, LongContextsAmongManyTokensKeepToTheirRoom) {
  const AttentionShape v2_lite{.heads = 16, .kv_heads = 1, .key = 576, .value = 512, .values_are_keys = true};
  AttentionShape v3 = v2_lite;
  v3.heads = 128;
  DeviceInfo info = device_.info();
  info.multiprocessors = 132;
  const auto plan_of = [&](const AttentionShape& shape, int position, int tokens, int questions, bool alike) {
    std::vector<Place> places;
    for (int i = 0; i < tokens; ++i) places.push_back({0, position + i});
    for (int s = 1; s <= questions; ++s)
      for (int i = 0; i < 150; ++i) places.push_back({s, i});
    auto plan = attention_plan(shape, places, position + tokens, info, alike);
    EXPECT_TRUE(plan) << plan.status().to_string();
    EXPECT_LE(plan->partial_numbers(shape), engine::cuda::partial_room(shape, places.size(), 1 << 17));
    return *plan;
  };
  const AttentionPlan answer = plan_of(v2_lite, 32767, 1, 0, false);
  EXPECT_EQ(answer.turns.size(), 1u);
  for (const int questions : {3, 13}) {
    const AttentionPlan beside = plan_of(v2_lite, 32767, 1, questions, false);
    EXPECT_LE(beside.turns.size(), 2u);
    EXPECT_GT(beside.turns[0].splits, 64);   // the answer waits for no few blocks
  }
  plan_of(v2_lite, (1 << 17) - 2048, 2048, 0, true);
  plan_of(v3, 32768 - 512, 512, 0, true);
}

TEST_F(CudaAttentionTest, LatentsAreKeysAndValuesOfAllHeads) {
  for (const KvType type : engine::kKvTypes)
    check({{.heads = 16, .kv_heads = 1, .key = 48, .value = 32, .values_are_keys = true}, type, {300, 2}, {1, 1}, 4});
  check({{.heads = 16, .kv_heads = 1, .key = 576, .value = 512, .values_are_keys = true}, KvType::f16, {200}, {1}, 8});
  EXPECT_EQ(plan_.turns[0].splits, 4);
  check({{.heads = 5, .kv_heads = 1, .key = 576, .value = 512, .values_are_keys = true}, KvType::q8_0, {70}, {4}});
  check({{.heads = 5, .kv_heads = 1, .key = 576, .value = 512, .values_are_keys = true}, KvType::fp8, {70}, {4}});
  check({{.heads = 16, .kv_heads = 1, .key = 576, .value = 512, .values_are_keys = true}, KvType::f16, {290, 3}, {9, 2}});
}

TEST_F(CudaAttentionTest, MoreHeadsThanATileHasRowsAreDivided) {
  check({{.heads = 140, .kv_heads = 2, .key = 16, .value = 16}, KvType::f16, {70, 9}, {1, 2}});
  EXPECT_EQ(plan_.tiles.size(), 6u);
  const AttentionShape latents{.heads = 70, .kv_heads = 1, .key = 160, .value = 144, .values_are_keys = true};
  check({latents, KvType::f16, {90, 2}, {2, 1}});
  EXPECT_EQ(plan_.tiles.size(), 6u);
  check({latents, KvType::f16, {90, 2}, {2, 1}, 1, 36 << 10});   // room for half as many rows
  EXPECT_EQ(plan_.tiles.size(), 9u);
}

TEST_F(CudaAttentionTest, BatchesOfAnyShapeAreAsTheReferenceSays) {
  const auto pick = [&](auto... of) {
    const int all[] = {of...};
    return all[random_() % sizeof...(of)];
  };
  for (int round = 0; round < 24; ++round) {
    AttentionCase c;
    c.shape.kv_heads = pick(1, 2, 3), c.shape.heads = c.shape.kv_heads * pick(1, 6, 8, 16);
    c.shape.key = pick(16, 64, 128, 40, 192), c.shape.value = pick(16, 64, 128, 8, 200);
    if (round % 4 == 0) c.shape = {c.shape.heads, 1, pick(144, 136, 576), pick(32, 136), true};
    c.type = static_cast<KvType>(pick(0, 1, 2, 3, 4));
    for (int sequences = pick(1, 2, 3); sequences > 0; --sequences) {
      c.tokens.push_back(pick(1, 1, 2, 5, 19));
      c.contexts.push_back(static_cast<size_t>(c.tokens.back() + pick(0, 1, 62, 255, 400)));
    }
    c.multiprocessors = pick(1, 1, 20, 132);
    c.shared_bytes = static_cast<size_t>(pick(64, 99, 227)) << 10;
    check(c);
    ASSERT_FALSE(HasFailure()) << "round " << round << ": " << c.shape.heads << " heads, " << c.shape.kv_heads << " of keys of " << c.shape.key
                               << ", values of " << c.shape.value;
  }
}

TEST_F(CudaAttentionTest, DevicesWithLittleSharedMemoryFetchKeysByTurns) {
  check({{.heads = 16, .kv_heads = 1, .key = 576, .value = 512, .values_are_keys = true}, KvType::f16, {70}, {1}, 1, 64 << 10});
  EXPECT_EQ(plan_.buffers, 1);
  check({{.heads = 12, .kv_heads = 2, .key = 128, .value = 128}, KvType::f16, {200}, {7}, 1, 64 << 10});
  EXPECT_EQ(plan_.buffers, 1);
}

// The cache's bytes are what decoding costs; a key for each head would be 16 and 8 times that.
TEST_F(CudaAttentionTest, DecodingReadsEachKeyOnceForAllHeadsOfItsGroup) {
  check({{.heads = 16, .kv_heads = 1, .key = 576, .value = 512, .values_are_keys = true}, KvType::f16, {500}, {1}});
  EXPECT_LT(loaded_, 500 * 576 * 2 * 3 / 2);
  check({{.heads = 24, .kv_heads = 3, .key = 128, .value = 128}, KvType::q8_0, {500}, {1}});
  EXPECT_LT(loaded_, 500 * 3 * (136 * 2) * 3 / 2);
}

TEST_F(CudaAttentionTest, RowsThatKernelsCannotReadAreAnError) {
  const std::vector<Place> places = {{0, 0}};
  for (const AttentionShape& shape : {AttentionShape{4, 2, 20, 16}, AttentionShape{4, 2, 16, 520}, AttentionShape{4, 3, 16, 16}, AttentionShape{4, 1, 4096, 512}}) {
    const Result<AttentionPlan> plan = attention_plan(shape, places, 1, device_.info());
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.status().code(), StatusCode::unsupported);
    EXPECT_THAT(plan.status().message(), HasSubstr("on the CPU"));
  }
}

}  // namespace
}  // namespace wenqu::test
