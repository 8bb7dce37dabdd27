#include "engine/cache/kv_cache.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "engine/cpu/fp8.h"

namespace wenqu::engine {
namespace {

std::vector<float> back(const KvCache& cache, size_t layer, size_t head, size_t token) {
  const KvShape& shape = cache.shape();
  std::vector<float> out(shape.key + shape.value);
  const size_t segment = token / KvCache::kSegmentTokens, place = token % KvCache::kSegmentTokens;
  load_row(shape.type, cache.keys(layer, head, segment) + place * shape.key_bytes(), shape.key, out.data());
  load_row(shape.type, cache.values(layer, head, segment) + place * shape.value_bytes(), shape.value, out.data() + shape.key);
  return out;
}

TEST(KvCache, GivesBackEachRowAsItsTypeKeepsIt) {
  for (KvType type : kKvTypes) {
    const KvShape shape{.layers = 2, .heads = 3, .key = 40, .value = 33, .type = type};
    KvCache cache(shape);
    ASSERT_TRUE(cache.resize(260));
    const auto number = [&](size_t l, size_t h, size_t t, size_t i) {
      return std::sin(static_cast<float>(l * 1000 + h * 100 + i) + static_cast<float>(t)) * 3;
    };
    for (size_t l = 0; l < 2; ++l)
      for (size_t h = 0; h < 3; ++h)
        for (size_t t = 0; t < 260; ++t) {
          std::vector<float> row(73);
          for (size_t i = 0; i < row.size(); ++i) row[i] = number(l, h, t, i);
          cache.put(l, h, t, row.data(), row.data() + 40);
        }
    const float tolerance = type == KvType::f32    ? 0
                            : type == KvType::f16  ? 3.0f / 2048
                            : type == KvType::bf16 ? 3.0f / 256
                            : type == KvType::q8_0 ? 3.0f / 254 + 0.002f
                                                   : 3.0f / 16;
    for (size_t l = 0; l < 2; ++l)
      for (size_t h = 0; h < 3; ++h)
        for (size_t t : {0, 1, 255, 256, 259}) {
          const std::vector<float> row = back(cache, l, h, t);
          for (size_t i = 0; i < row.size(); ++i) ASSERT_NEAR(row[i], number(l, h, t, i), tolerance) << kv_type_name(type);
        }
  }
}

TEST(KvCache, NumbersThatItsTypeCannotHoldComeNearestAndNeverInfinite) {
  const std::vector<float> numbers = {1e6f, -1e9f, 65504, 3, 0, -2e5f};
  std::vector<std::byte> row(64);
  std::vector<float> out(numbers.size());
  store_row(KvType::f16, numbers.data(), numbers.size(), row.data());
  load_row(KvType::f16, row.data(), out.size(), out.data());
  EXPECT_EQ(out, (std::vector<float>{65504, -65504, 65504, 3, 0, -65504}));
  store_row(KvType::q8_0, numbers.data(), numbers.size(), row.data());
  load_row(KvType::q8_0, row.data(), out.size(), out.data());
  for (float value : out) EXPECT_TRUE(std::isfinite(value));
  EXPECT_LT(out[1], -8e6f);
  store_row(KvType::fp8, numbers.data(), numbers.size(), row.data());
  load_row(KvType::fp8, row.data(), out.size(), out.data());
  EXPECT_FLOAT_EQ(out[1], -1e9f);
  EXPECT_NEAR(out[0], 1e6f, 1e5f);
  const std::vector<float> endless = {1, INFINITY, -INFINITY};
  store_row(KvType::fp8, endless.data(), 3, row.data());
  load_row(KvType::fp8, row.data(), 3, out.data());
  EXPECT_TRUE(std::isfinite(out[1]) && out[1] > 1e38f && out[2] == -out[1]);
  // What is no number stays none.
  const std::vector<float> bad = {1, NAN, 2};
  for (KvType type : kKvTypes) {
    store_row(type, bad.data(), bad.size(), row.data());
    load_row(type, row.data(), 3, out.data());
    EXPECT_TRUE(std::isnan(out[1])) << kv_type_name(type);
  }
}

TEST(KvCache, EightBitFloatsAreTheNearestAndTheirOwnNearest) {
  for (int code = 0; code < 256; ++code) {
    const float value = cpu::e4m3_to_float(static_cast<uint8_t>(code));
    if (std::isnan(value)) continue;
    EXPECT_EQ(cpu::float_to_e4m3(value), code);
    if ((code & 127) == 126) continue;   // the largest
    const float next = cpu::e4m3_to_float(static_cast<uint8_t>(code + 1)), middle = (value + next) / 2;
    EXPECT_EQ(cpu::float_to_e4m3(std::nextafter(middle, value)), code);
    EXPECT_EQ(cpu::float_to_e4m3(std::nextafter(middle, next)), code + 1);
    EXPECT_EQ(cpu::float_to_e4m3(middle), code % 2 == 0 ? code : code + 1);
  }
  EXPECT_EQ(cpu::float_to_e4m3(1e9f), 0x7E);
  EXPECT_EQ(cpu::float_to_e4m3(-460), 0xFE);
}

TEST(KvCache, ForksShareUntilOneAdds) {
  KvCache cache({.layers = 1, .heads = 1, .key = 4, .value = 0});
  ASSERT_TRUE(cache.resize(300));
  const auto put = [](KvCache& to, size_t token, float value) {
    const std::vector<float> row(4, value);
    to.put(0, 0, token, row.data(), nullptr);
  };
  for (size_t t = 0; t < 300; ++t) put(cache, t, static_cast<float>(t));
  KvCache fork = *cache.fork();
  EXPECT_EQ(fork.keys(0, 0, 0), cache.keys(0, 0, 0));
  EXPECT_EQ(fork.keys(0, 0, 1), cache.keys(0, 0, 1));
  ASSERT_TRUE(fork.resize(301));
  EXPECT_EQ(fork.keys(0, 0, 0), cache.keys(0, 0, 0));
  EXPECT_NE(fork.keys(0, 0, 1), cache.keys(0, 0, 1));
  put(fork, 300, -1);
  ASSERT_TRUE(cache.resize(301));
  put(cache, 300, -2);
  EXPECT_EQ(back(fork, 0, 0, 299)[0], 299);
  EXPECT_EQ(back(fork, 0, 0, 300)[0], -1);
  EXPECT_EQ(back(cache, 0, 0, 300)[0], -2);
}

TEST(KvCache, NamesOfTypesGoBothWays) {
  for (KvType type : kKvTypes) EXPECT_EQ(parse_kv_type(kv_type_name(type)), type);
  EXPECT_FALSE(parse_kv_type("q4_0"));
}

}  // namespace
}  // namespace wenqu::engine
