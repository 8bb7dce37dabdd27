#include "engine/cuda/kernels/experts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "engine/cuda/kernel_list.h"
#include "tests/engine/cuda/device_memory.h"
#include "tests/engine/cuda/test_device.h"

namespace wenqu::test {
namespace {

class PlacesOnTheDevice : public testing::Test {
 protected:
  void expect_sorted(const std::vector<Choice>& chosen, int experts) {
    const int places = static_cast<int>(chosen.size());
    const Array<Choice> choices(device_, chosen);
    const Array<int32_t> order(device_, chosen.size());
    const Array<Tile> tiles(device_, static_cast<size_t>(most_tiles(places, experts)));
    const Status status = launch<SortByExpert>(device_, {static_cast<unsigned>(experts)}, {choices.data(), places, experts, order.data(), tiles.data()});
    ASSERT_TRUE(status) << status.to_string();

    std::vector<int32_t> want(chosen.size());
    for (int p = 0; p < places; ++p) want[static_cast<size_t>(p)] = p;
    const auto expert = [&](int32_t p) { return chosen[static_cast<size_t>(p)].expert; };
    std::stable_sort(want.begin(), want.end(), [&](int32_t a, int32_t b) { return expert(a) < expert(b); });
    ASSERT_EQ(order.values(), want);

    // The tiles in use follow each other, full but for each expert's last, and each place is in one. All are written.
    int at = 0;
    const std::vector<Tile> got = tiles.values();
    for (size_t i = 0; i < got.size(); ++i) {
      if (got[i].count == 0) continue;
      ASSERT_EQ(got[i].first, at);
      ASSERT_LE(got[i].count, kTileRows);
      for (int k = 0; k < got[i].count; ++k) ASSERT_EQ(expert(want[static_cast<size_t>(at + k)]), got[i].expert);
      at += got[i].count;
      const bool last = at == places || expert(want[static_cast<size_t>(at)]) != got[i].expert;
      ASSERT_TRUE(last || got[i].count == kTileRows);
    }
    ASSERT_EQ(at, places);
  }

  std::mt19937 random_{5};
  TestDevice device_;
};

TEST_F(PlacesOnTheDevice, AreSortedByExpertAndThenByPlace) {
  for (const int experts : {1, 3, 64})
    for (const int places : {1, 6, 63, 64, 65, 255, 257, 1000}) {
      std::vector<Choice> chosen(static_cast<size_t>(places));
      for (Choice& choice : chosen) choice.expert = static_cast<int32_t>(random_() % static_cast<uint32_t>(experts));
      expect_sorted(chosen, experts);
    }
}

TEST_F(PlacesOnTheDevice, AreSortedWhereExpertsHaveNoneOneOrAll) {
  for (const int expert : {0, 4, 7}) {
    std::vector<Choice> chosen(192, Choice{expert, 1});   // all, in tiles that are full
    expect_sorted(chosen, 8);
    chosen[100].expert = 3;
    expect_sorted(chosen, 8);
    chosen.resize(128);
    expect_sorted(chosen, 8);
  }
}

TEST_F(PlacesOnTheDevice, AreSummedByTheirWeights) {
  const int tokens = 3, used = 4, outputs = 300;
  std::vector<float> parts(static_cast<size_t>(tokens * used * outputs));
  for (float& value : parts) value = static_cast<float>(random_() % 1000) / 64;
  std::vector<Choice> chosen;
  for (int i = 0; i < tokens * used; ++i) chosen.push_back({i % 3, static_cast<float>(random_() % 100) / 128});
  const Array<float> part(device_, parts), out(device_, std::vector<float>(static_cast<size_t>(tokens * outputs), 2.0f));
  const Array<Choice> choices(device_, chosen);
  for (const bool add : {true, false}) {
    const Status status = launch<SumExperts>(device_, {2, tokens}, {part.data(), choices.data(), used, outputs, out.data(), add});
    ASSERT_TRUE(status) << status.to_string();
    const std::vector<float> got = out.values();
    for (int t = 0; t < tokens; ++t)
      for (int o = 0; o < outputs; ++o) {
        float sum = 0;
        for (int k = 0; k < used; ++k) sum += chosen[static_cast<size_t>(t * used + k)].weight * parts[static_cast<size_t>((t * used + k) * outputs + o)];
        ASSERT_FLOAT_EQ(got[static_cast<size_t>(t * outputs + o)], add ? 2 + sum : sum);
      }
  }
}

}  // namespace
}  // namespace wenqu::test
