#include "engine/cuda/expansion.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/cuda/kernel_list.h"
#include "tests/engine/cuda/cache_fixture.h"
#include "tests/engine/cuda/test_device.h"
#include "tests/engine/cuda/weights_fixture.h"

namespace wenqu::test {
namespace {

using engine::gguf::Type;

struct ExpansionCase {
  LatentShape shape;
  KvType cache = KvType::f16;
  Type k_type = Type::f16, v_type = Type::q8_0;
  std::vector<size_t> contexts;   // of the sequences, their new tokens among them
  std::vector<int> tokens;        // new ones of each that is expanded; 0: it is not
  size_t scratch_bytes = 4 << 20;
  int multiprocessors = 1;
};

class ExpansionTest : public testing::Test {
 protected:
  // What a token's head gets, in double precision.
  std::vector<double> reference(const ExpansionCase& c, const HostCaches& caches, const RandomWeights& k_b, const RandomWeights& v_b, const Place& place, int head,
                                const float* query, float scale) {
    const LatentShape& s = c.shape;
    const size_t seen = static_cast<size_t>(place.position) + 1;
    std::vector<double> carried(static_cast<size_t>(s.latent)), scores(seen), mixed(carried.size()), out(static_cast<size_t>(s.value));
    for (int l = 0; l < s.latent; ++l) carried[static_cast<size_t>(l)] = dot(query, k_b.row(head * s.latent + l, s.nope), s.nope);
    double largest = -INFINITY, sum = 0;
    std::vector<std::vector<float>> rows;
    for (size_t t = 0; t < seen; ++t) {
      rows.push_back(caches.key(place.sequence, 1, 0, t));
      double score = dot(query + s.nope, rows[t].data() + s.latent, s.rope);
      for (size_t l = 0; l < carried.size(); ++l) score += carried[l] * double{rows[t][l]};
      largest = std::max(largest, scores[t] = score * double{scale});
    }
    for (double& score : scores) sum += score = std::exp(score - largest);
    for (size_t t = 0; t < seen; ++t)
      for (size_t l = 0; l < mixed.size(); ++l) mixed[l] += scores[t] / sum * double{rows[t][l]};
    for (int v = 0; v < s.value; ++v)
      for (size_t l = 0; l < mixed.size(); ++l) out[static_cast<size_t>(v)] += mixed[l] * double{v_b.row(head * s.value + v, s.latent)[l]};
    return out;
  }

  void check(const ExpansionCase& c) {
    const LatentShape& s = c.shape;
    HostCaches caches({.layers = 2, .heads = 1, .key = static_cast<size_t>(s.latent + s.rope), .value = 0, .type = c.cache}, c.contexts);
    caches.fill(random_);
    const DevicePages pages(device_, caches);
    const RandomWeights k_b(c.k_type, s.heads * s.latent, s.nope, random_), v_b(c.v_type, s.heads * s.value, s.latent, random_);
    std::vector<Place> places;
    for (size_t q = 0; q < c.tokens.size(); ++q)
      for (int i = 0; i < c.tokens[q]; ++i) places.push_back({static_cast<int32_t>(q), static_cast<int32_t>(c.contexts[q]) - c.tokens[q] + i});
    const size_t key = static_cast<size_t>(s.nope + s.rope), heads = static_cast<size_t>(s.heads), value = static_cast<size_t>(s.value);
    const float scale = 0.7f / std::sqrt(static_cast<float>(s.latent) * static_cast<float>(key));
    const std::vector<float> queries = random_floats(places.size() * heads * key, random_);

    const Array<std::byte> scratch(device_, c.scratch_bytes);
    DeviceInfo info = device_.info();
    info.multiprocessors = c.multiprocessors;
    const Result<ExpansionPlan> plan = expansion_plan(s, places, c.contexts.size(), scratch.data(), c.scratch_bytes, info);
    ASSERT_TRUE(plan) << plan.status().to_string();
    plan_ = *plan;
    const AttentionShape shape = plan->shape(s);
    const Array<float> on_device(device_, queries), out(device_, places.size() * heads * value);
    const Array<float> partial(device_, std::max<size_t>(1, plan->attention.partial_numbers(shape)));
    const Array<Float2> partial_scale(device_, std::max<size_t>(1, plan->attention.partial_scales(shape)));
    const Array<std::byte> k_weights(device_, k_b.device), v_weights(device_, v_b.device);
    const Array<QueryTile> query_tiles(device_, plan->attention.tiles);
    const Array<LatentTile> tiles(device_, plan->tiles);
    const Array<std::byte*> expanded_pages(device_, plan->pages);
    const Array<int32_t> first_page(device_, plan->first_page);
    const Array<Place> where(device_, places);
    AttentionArguments arguments{};
    arguments.queries = on_device.data(), arguments.out = out.data();
    arguments.partial = partial.data(), arguments.partial_scale = partial_scale.data();
    arguments.tiles = query_tiles.data(), arguments.places = where.data();
    arguments.cache = pages.rows(1), arguments.scale = scale;
    const Status status = attend_expanded(
        device_, *plan, s,
        {{k_weights.data(), k_b.row_bytes, k_b.row_bytes * static_cast<size_t>(s.latent), s.nope, s.latent},
         {v_weights.data(), v_b.row_bytes, v_b.row_bytes * value, s.latent, s.value}, c.k_type, c.v_type},
        {tiles.data(), expanded_pages.data(), first_page.data()}, scratch.data(), arguments);
    ASSERT_TRUE(status) << status.to_string();
    const std::vector<float> got = out.values();
    for (size_t t = 0; t < places.size(); t += 1 + random_() % 3)
      for (size_t h = 0; h < heads; ++h) {
        const std::vector<double> want = reference(c, caches, k_b, v_b, places[t], static_cast<int>(h), queries.data() + (t * heads + h) * key, scale);
        double error = 0, norm = 0;
        for (size_t i = 0; i < value; ++i) error += std::pow(got[(t * heads + h) * value + i] - want[i], 2), norm += want[i] * want[i];
        ASSERT_LE(std::sqrt(error), 3e-3 * std::sqrt(norm)) << "token " << t << ", head " << h;
      }
  }

  std::mt19937 random_{17};
  TestDevice device_;
  ExpansionPlan plan_;
};

TEST_F(ExpansionTest, APromptAttendsToTheKeysAndValuesThatItsLatentsStandFor) {
  for (const KvType type : engine::kKvTypes)
    check({{.heads = 3, .latent = 160, .rope = 16, .nope = 32, .value = 24}, type, Type::f16, Type::q8_0, {70}, {9}});
  check({{.heads = 2, .latent = 256, .rope = 8, .nope = 32, .value = 40}, KvType::f16, Type::q5_0, Type::q4_k, {40}, {40}});
  check({{.heads = 1, .latent = 40, .rope = 8, .nope = 24, .value = 16}, KvType::f16, Type::bf16, Type::f32, {33}, {5}});
}

TEST_F(ExpansionTest, HeadsAsLargeAsDeepSeeksTakeSeveralPieces) {
  check({{.heads = 1, .latent = 96, .rope = 64, .nope = 128, .value = 128}, KvType::f16, Type::q8_0, Type::f16, {150}, {3}});
  check({{.heads = 1, .latent = 32, .rope = 8, .nope = 136, .value = 144}, KvType::f16, Type::f16, Type::f16, {20}, {2}});
}

TEST_F(ExpansionTest, SequencesAreExpandedBesideOthersThatAreNot) {
  check({{.heads = 2, .latent = 32, .rope = 8, .nope = 16, .value = 16}, KvType::f16, Type::f16, Type::f16, {300, 20, 257, 6}, {4, 0, 3, 6}});
  EXPECT_EQ(plan_.pages.size(), 5u);
}

TEST_F(ExpansionTest, ScratchForFewHeadsIsUsedInTurns) {
  const LatentShape shape{.heads = 5, .latent = 32, .rope = 8, .nope = 16, .value = 16};
  check({shape, KvType::f16, Type::f32, Type::q8_0, {280}, {6}, 2 * expansion_bytes(shape, 2) + 100});
  EXPECT_EQ(plan_.heads, 2);
  check({shape, KvType::f16, Type::f32, Type::q8_0, {280}, {6}, expansion_bytes(shape, 2)});
  EXPECT_EQ(plan_.heads, 1);
}

TEST_F(ExpansionTest, LongContextsOfFewHeadsAreSplit) {
  const LatentShape shape{.heads = 3, .latent = 32, .rope = 8, .nope = 16, .value = 16};
  check({shape, KvType::f16, Type::f16, Type::f16, {700}, {5}, 2 * expansion_bytes(shape, 3), 132});
  EXPECT_GT(plan_.attention.turns[0].splits, 1);
}

TEST_F(ExpansionTest, ScratchWithoutRoomForOneHeadIsAnError) {
  const LatentShape shape{.heads = 2, .latent = 32, .rope = 8, .nope = 16, .value = 16};
  const std::vector<Place> places = {{0, 256}};
  const Result<ExpansionPlan> plan = expansion_plan(shape, places, 1, nullptr, expansion_bytes(shape, 2) - 1, device_.info());
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.status().code(), StatusCode::limit_exceeded);
}

TEST_F(ExpansionTest, ManyTokensAreWorthIt) {
  const LatentShape v2_lite{.heads = 16, .latent = 512, .rope = 64, .nope = 128, .value = 128};
  for (const size_t position : {0, 4096, 100000}) {
    EXPECT_FALSE(expansion_pays(v2_lite, position, 1));
    EXPECT_FALSE(expansion_pays(v2_lite, position, 128));
    EXPECT_TRUE(expansion_pays(v2_lite, position, 256));
    EXPECT_TRUE(expansion_pays(v2_lite, position, 2048));
  }
  LatentShape odd = v2_lite;
  odd.nope = 12;   // a key is no whole number of units then
  EXPECT_FALSE(expansion_pays(odd, 0, 2048));
}

}  // namespace
}  // namespace wenqu::test
