#include "engine/cuda/kernels/cache_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/cache/kv_cache.h"
#include "engine/cuda/kernel_list.h"
#include "engine/ops/rms_norm.h"
#include "engine/ops/rope.h"
#include "tests/engine/cuda/cache_fixture.h"
#include "tests/engine/cuda/weights_fixture.h"
#include "tests/engine/cuda/test_device.h"

namespace wenqu::test {
namespace {

using engine::ops::RopePairing;
using engine::ops::RopeTable;

// A table of the host, as the device has it.
struct Turn {
  RopeTable table;
  std::vector<float> cos, sin;
  Turn(size_t pairs, const std::vector<Place>& places) : table(frequencies(pairs), 1.25f, positions(places)) {
    for (const size_t position : positions(places))
      for (const double f : frequencies(pairs)) {
        const double angle = static_cast<double>(position) * f;
        cos.push_back(static_cast<float>(std::cos(angle)) * 1.25f);
        sin.push_back(static_cast<float>(std::sin(angle)) * 1.25f);
      }
  }
  static std::vector<double> frequencies(size_t pairs) {
    std::vector<double> out;
    for (size_t i = 0; i < pairs; ++i) out.push_back(std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(pairs)));
    return out;
  }
  static std::vector<size_t> positions(const std::vector<Place>& places) {
    std::vector<size_t> out;
    for (const Place& place : places) out.push_back(static_cast<size_t>(place.position));
    return out;
  }
};

const std::vector<Place> kPlaces = {{1, 254}, {1, 255}, {1, 256}, {0, 0}, {2, 511}};
constexpr int kNewTokens = 5;

class CacheRowsTest : public testing::Test {
 protected:
  std::mt19937 random_{11};
  TestDevice device_;
};

TEST_F(CacheRowsTest, QueriesAreNormedAndTurnedAsOnTheHost) {
  for (const bool adjacent : {true, false})
    for (const bool norm : {true, false}) {
      constexpr int heads = 5, stride = 70, n = 70, offset = 3, pairs = 20;
      const Turn turn(pairs, kPlaces);
      std::vector<float> want = random_floats(kNewTokens * heads * stride, random_);
      const std::vector<float> weights = random_floats(n, random_);
      const Array<float> queries(device_, want), weight(device_, weights), cos(device_, turn.cos), sin(device_, turn.sin);
      const Status status = launch<PlaceTokens>(
          device_, {2, kNewTokens},
          {{queries.data(), heads, stride, {norm ? weight.data() : nullptr, n, 1e-5f}, {cos.data(), sin.data(), pairs, offset, adjacent}}, {}}, 0);
      ASSERT_TRUE(status) << status.to_string();
      const std::vector<float> got = queries.values();
      for (size_t t = 0; t < kNewTokens; ++t)
        for (size_t h = 0; h < heads; ++h) {
          float* const row = want.data() + (t * heads + h) * stride;
          if (norm) engine::ops::rms_norm(row, weights.data(), 1e-5f, n, row);
          turn.table.rotate(adjacent ? RopePairing::adjacent : RopePairing::halves, t, row + offset);
        }
      for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-5 * (1 + std::abs(want[i]))) << i;
    }
}

// Of the first tokens, as absorbed MLA wants them; the others are turned where they are.
TEST_F(CacheRowsTest, TurnedPartsOfQueriesGoBehindTheLatentOnesAndTheOthersAreRounded) {
  constexpr int heads = 3, nope = 40, pairs = 4, latent = 16, row = latent + 2 * pairs, absorbed = 3, stride = 64;
  const Turn turn(pairs, kPlaces);
  std::vector<float> want = random_floats(kNewTokens * heads * (nope + 2 * pairs), random_);
  const std::vector<float> before = want;
  const Array<float> queries(device_, want), cos(device_, turn.cos), sin(device_, turn.sin), out(device_, std::vector<float>(kNewTokens * heads * row));
  const Array<float> scales(device_, absorbed * heads * stride / 32);
  const Array<int8_t> q(device_, absorbed * heads * stride);
  const Status status = launch<PlaceTokens>(device_, {1, kNewTokens},
                                            {{queries.data(), heads, nope + 2 * pairs, {}, {cos.data(), sin.data(), pairs, nope, true}, absorbed,
                                              out.data() + latent, row, {q.data(), scales.data(), stride}}, {}}, 0);
  ASSERT_TRUE(status) << status.to_string();
  const std::vector<float> got = out.values(), in_place = queries.values(), scale = scales.values();
  const std::vector<int8_t> bytes = q.values();
  for (size_t t = 0; t < kNewTokens; ++t)
    for (size_t h = 0; h < heads; ++h) {
      const size_t at = (t * heads + h) * (nope + 2 * pairs);
      float* const head = want.data() + at;
      turn.table.rotate(RopePairing::adjacent, t, head + nope);
      for (size_t i = 0; i < 2 * pairs; ++i) {
        ASSERT_NEAR(t < absorbed ? got[(t * heads + h) * row + latent + i] : in_place[at + nope + i], head[nope + i], 1e-5 * 4);
        if (t < absorbed) {
          ASSERT_EQ(in_place[at + nope + i], before[at + nope + i]);
        }
      }
      for (size_t i = 0; t < absorbed && i < stride; ++i) {
        const float step = scale[(t * heads + h) * stride / 32 + i / 32], value = i < nope ? head[i] : 0;
        ASSERT_NEAR(step * static_cast<float>(bytes[(t * heads + h) * stride + i]), value, step * 0.51) << i;
      }
    }
}

// Bytes of the cache on the device and on the host, where the batch's keys were written.
TEST_F(CacheRowsTest, KeysAndValuesAreKeptByteForByteAsOnTheHost) {
  for (const KvType type : engine::kKvTypes)
    for (const size_t value : {size_t{0}, size_t{140}}) {
      constexpr int heads = 3, key = 70, pairs = 30, offset = 10;
      HostCaches caches({.layers = 2, .heads = heads, .key = key, .value = value, .type = type}, {3, 300, 512});
      caches.fill(random_);
      DevicePages pages(device_, caches);
      const Turn turn(pairs, kPlaces);
      std::vector<float> keys = random_floats(kNewTokens * heads * key, random_, 3), values = random_floats(kNewTokens * heads * value + 1, random_);
      keys[40] = 1e6f, keys[41] = -3e38f, keys[301] = std::numeric_limits<float>::infinity();
      if (type != KvType::f32) keys[300] = std::numeric_limits<float>::quiet_NaN();   // whose bits a GPU does not keep
      for (size_t i = 0; i < 32; ++i) keys[2 * key + i] = 0;
      keys[5 * key] = 1e-9f;
      const Array<float> key_rows(device_, keys), value_rows(device_, values), cos(device_, turn.cos), sin(device_, turn.sin);
      const Array<Place> places(device_, kPlaces);
      const Status status = launch<PlaceTokens>(device_, {heads, kNewTokens},
                                                {{}, {key_rows.data(), heads * key, value_rows.data(), heads * static_cast<int>(value), places.data(), {},
                                                      {cos.data(), sin.data(), pairs, offset, false}, pages.rows(1)}},
                                                static_cast<size_t>(PlaceTokens::shared_bytes(key)));
      ASSERT_TRUE(status) << status.to_string();
      for (size_t t = 0; t < kNewTokens; ++t)
        for (size_t h = 0; h < heads; ++h) {
          float* const row = keys.data() + (t * heads + h) * key;
          turn.table.rotate(RopePairing::halves, t, row + offset);
          caches.cache(kPlaces[t].sequence).put(1, h, static_cast<size_t>(kPlaces[t].position), row, values.data() + (t * heads + h) * value);
        }
      EXPECT_TRUE(pages.equal(caches)) << engine::kv_type_name(type) << " " << value;
    }
}

TEST_F(CacheRowsTest, LatentKeysAreNormedBeforeTheirTurnedPart) {
  constexpr int latent = 200, pairs = 8, key = latent + 2 * pairs;
  HostCaches caches({.layers = 1, .heads = 1, .key = key, .value = 0, .type = KvType::f32}, {3, 300, 512});
  caches.fill(random_);
  DevicePages pages(device_, caches);
  const Turn turn(pairs, kPlaces);
  std::vector<float> keys = random_floats(kNewTokens * key, random_);
  const std::vector<float> weights = random_floats(latent, random_);
  const Array<float> key_rows(device_, keys), weight(device_, weights), cos(device_, turn.cos), sin(device_, turn.sin);
  const Array<Place> places(device_, kPlaces);
  const Status status = launch<PlaceTokens>(
      device_, {1, kNewTokens},
      {{}, {key_rows.data(), key, nullptr, 0, places.data(), {weight.data(), latent, 1e-6f}, {cos.data(), sin.data(), pairs, latent, true}, pages.rows(0)}},
      static_cast<size_t>(PlaceTokens::shared_bytes(key)));
  ASSERT_TRUE(status) << status.to_string();
  pages.download(caches);
  for (size_t t = 0; t < kNewTokens; ++t) {
    float* const row = keys.data() + t * key;
    engine::ops::rms_norm(row, weights.data(), 1e-6f, caches.shape().key - 2 * pairs, row);
    turn.table.rotate(RopePairing::adjacent, t, row + latent);
    const std::vector<float> got = caches.key(kPlaces[t].sequence, 0, 0, static_cast<size_t>(kPlaces[t].position));
    for (size_t i = 0; i < key; ++i) ASSERT_NEAR(got[i], row[i], 1e-5 * (1 + std::abs(row[i])));
  }
}

}  // namespace
}  // namespace wenqu::test
