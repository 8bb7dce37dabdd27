#include "engine/ops/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "engine/cpu/blocks.h"
#include "engine/ops/latent_attention.h"

namespace wenqu::engine::ops {
namespace {

std::vector<float> random_numbers(size_t count, uint32_t seed, float deviation = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(random);
  return numbers;
}

// A cache of random rows, and what it gives back of them.
struct Filled {
  KvCache cache;
  std::vector<std::vector<float>> keys, values;   // of head 1

  Filled(const KvShape& shape, size_t tokens) : cache(shape) {
    EXPECT_TRUE(cache.resize(tokens));
    for (size_t t = 0; t < tokens; ++t)
      for (size_t h = 0; h < shape.heads; ++h) {
        const std::vector<float> row = random_numbers(shape.key + shape.value, static_cast<uint32_t>(t * 10 + h));
        cache.put(1, h, t, row.data(), row.data() + shape.key);
        if (h + 1 < shape.heads) continue;
        const size_t place = t % KvCache::kSegmentTokens, segment = t / KvCache::kSegmentTokens;
        keys.emplace_back(shape.key);
        load_row(shape.type, cache.keys(1, h, segment) + place * shape.key_bytes(), shape.key, keys.back().data());
        values.emplace_back(shape.value);
        load_row(shape.type, cache.values(1, h, segment) + place * shape.value_bytes(), shape.value, values.back().data());
      }
  }
};

// softmax(scale * query * key) * value, as it is written.
std::vector<double> plain(const float* query, const std::vector<std::vector<float>>& keys, const std::vector<std::vector<float>>& values,
                          size_t count, float scale) {
  std::vector<double> weights, out(values[0].size());
  double top = -INFINITY, sum = 0;
  for (size_t k = 0; k < count; ++k) {
    double score = 0;
    for (size_t i = 0; i < keys[k].size(); ++i) score += static_cast<double>(query[i]) * keys[k][i];
    weights.push_back(score * scale);
    top = std::max(top, weights.back());
  }
  for (double& weight : weights) sum += weight = std::exp(weight - top);
  for (size_t k = 0; k < count; ++k)
    for (size_t i = 0; i < out.size(); ++i) out[i] += weights[k] / sum * values[k][i];
  return out;
}

class AttentionTest : public testing::TestWithParam<cpu::Isa> {
 protected:
  void SetUp() override {
    if (!cpu::is_supported(GetParam())) GTEST_SKIP() << "this processor has no " << cpu::name(GetParam());
  }
  const cpu::Kernels& kernels() const { return cpu::kernels(GetParam()); }
};

TEST_P(AttentionTest, IsTheSoftmaxOfItsDefinitionForEveryTypeAndLength) {
  constexpr size_t kKey = 40, kValue = 24;
  for (KvType type : kKvTypes) {
    const Filled filled({.layers = 2, .heads = 2, .key = kKey, .value = kValue, .type = type}, 530);
    const std::vector<size_t> counts = {1, 2, 31, 32, 33, 255, 256, 257, 300, 511, 512, 513, 530};
    const std::vector<float> queries = random_numbers(counts.size() * kKey, 99);
    std::vector<float> out(counts.size() * kValue);
    std::vector<AttentionQuery> together;
    for (size_t q = 0; q < counts.size(); ++q) together.push_back({queries.data() + q * kKey, counts[q], out.data() + q * kValue});
    const AttentionShape shape{.key = kKey, .value = kValue, .scale = 0.3f};
    attend(kernels(), filled.cache, 1, 1, false, shape, together);
    for (size_t q = 0; q < counts.size(); ++q) {
      const std::vector<double> want = plain(queries.data() + q * kKey, filled.keys, filled.values, counts[q], 0.3f);
      for (size_t i = 0; i < kValue; ++i) ASSERT_NEAR(out[q * kValue + i], want[i], 2e-5) << kv_type_name(type) << " " << counts[q];
      std::vector<float> alone(kValue);
      const AttentionQuery one{queries.data() + q * kKey, counts[q], alone.data()};
      attend(kernels(), filled.cache, 1, 1, false, shape, {&one, 1});
      EXPECT_EQ(std::memcmp(alone.data(), out.data() + q * kValue, kValue * sizeof(float)), 0) << "the queries beside it matter";
    }
  }
}

TEST_P(AttentionTest, LateAndLargeScoresTakeOver) {
  // Scores that rise by hundreds from run to run.
  KvCache cache({.layers = 1, .heads = 1, .key = 8, .value = 8});
  ASSERT_TRUE(cache.resize(700));
  for (size_t t = 0; t < 700; ++t) {
    const std::vector<float> key(8, static_cast<float>(t)), value(8, static_cast<float>(t));
    cache.put(0, 0, t, key.data(), value.data());
  }
  const std::vector<float> query(8, 1);
  std::vector<float> out(8);
  const AttentionQuery one{query.data(), 700, out.data()};
  attend(kernels(), cache, 0, 0, false, {.key = 8, .value = 8, .scale = 1}, {&one, 1});
  for (float value : out) EXPECT_NEAR(value, 699, 1e-2);
}

TEST_P(AttentionTest, RowsThatNoQuerySeesAreNotRead) {
  KvCache cache({.layers = 1, .heads = 1, .key = 8, .value = 8});
  ASSERT_TRUE(cache.resize(10));
  const std::vector<float> fine(8, 1), poison(8, NAN);
  for (size_t t = 0; t < 10; ++t) cache.put(0, 0, t, t < 6 ? fine.data() : poison.data(), t < 6 ? fine.data() : poison.data());
  std::vector<float> out(3 * 8);
  std::vector<AttentionQuery> queries;
  for (size_t q = 0; q < 3; ++q) queries.push_back({fine.data(), 4 + q, out.data() + q * 8});
  attend(kernels(), cache, 0, 0, false, {.key = 8, .value = 8, .scale = 1}, queries);
  for (float value : out) EXPECT_FLOAT_EQ(value, 1);
}

TEST_P(AttentionTest, ExpandedLatentsGiveWhatAHeadsKeysAndValuesWould) {
  constexpr size_t kLatent = 48, kNope = 20, kRope = 8, kValue = 12, kHeads = 3, kTokens = 300;
  const LatentShape shape{.latent = kLatent, .nope = kNope, .rope = kRope, .value = kValue, .scale = 0.2f};
  const std::vector<float> k_b = random_numbers(kHeads * kLatent * kNope, 1, 0.2f), v_b = random_numbers(kHeads * kValue * kLatent, 2, 0.2f);
  const auto matrix = [](const std::vector<float>& numbers, size_t inputs, size_t outputs) {
    return Matrix{.type = gguf::Type::f32, .data = reinterpret_cast<const std::byte*>(numbers.data()), .inputs = inputs, .outputs = outputs,
                  .row_bytes = inputs * 4, .stride_bytes = inputs * outputs * 4};
  };
  for (KvType type : kKvTypes) {
    const Filled filled({.layers = 2, .heads = 1, .key = kLatent + kRope, .value = 0, .type = type}, kTokens);
    for (size_t head = 0; head < kHeads; ++head) {
      std::vector<std::vector<float>> keys, values;
      for (const std::vector<float>& row : filled.keys) {
        std::vector<float> key(kNope), value(kValue);
        for (size_t l = 0; l < kLatent; ++l) {
          for (size_t n = 0; n < kNope; ++n) key[n] += k_b[(head * kLatent + l) * kNope + n] * row[l];
          for (size_t v = 0; v < kValue; ++v) value[v] += v_b[(head * kValue + v) * kLatent + l] * row[l];
        }
        key.insert(key.end(), row.begin() + kLatent, row.end());
        keys.push_back(key);
        values.push_back(value);
      }
      const std::vector<float> query = random_numbers(kNope + kRope, 3);
      for (size_t count : {size_t{1}, size_t{256}, kTokens}) {
        std::vector<float> out(kValue);
        const AttentionQuery one{query.data(), count, out.data()};
        attend_expanded(kernels(), filled.cache, 1, head, matrix(k_b, kNope, kLatent), matrix(v_b, kLatent, kValue), shape, {&one, 1});
        const std::vector<double> want = plain(query.data(), keys, values, count, 0.2f);
        for (size_t i = 0; i < kValue; ++i) ASSERT_NEAR(out[i], want[i], 2e-5) << kv_type_name(type) << " " << count;
      }
    }
  }
}

TEST(LatentAttention, ExpandingPaysForPromptsAndNotForSingleTokens) {
  const LatentShape deepseek{.latent = 512, .nope = 128, .rope = 64, .value = 128};
  EXPECT_FALSE(expansion_pays(deepseek, 0, 1));
  EXPECT_FALSE(expansion_pays(deepseek, 4000, 1));
  EXPECT_FALSE(expansion_pays(deepseek, 100000, 16));
  EXPECT_TRUE(expansion_pays(deepseek, 0, 512));
  EXPECT_TRUE(expansion_pays(deepseek, 4000, 512));
}

INSTANTIATE_TEST_SUITE_P(Isas, AttentionTest, testing::Values(cpu::Isa::scalar, cpu::Isa::avx2, cpu::Isa::avx512),
                         [](const auto& isa) { return cpu::name(isa.param); });

}  // namespace
}  // namespace wenqu::engine::ops
