#include "engine/cuda/best.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "engine/cuda/kernel_list.h"
#include "engine/sampler/sampler.h"
#include "tests/engine/cuda/device_memory.h"
#include "tests/engine/cuda/test_device.h"

namespace wenqu::test {
namespace {

using engine::TopLogits;

class BestLogits : public testing::Test {
 protected:
  struct Row {
    bool known = false;
    TopLogits top;
  };

  // What the device tells of rows of `vocabulary` logits.
  std::vector<Row> best(const std::vector<float>& logits, int vocabulary, const std::vector<BestWanted>& wanted) {
    const int rows = static_cast<int>(wanted.size());
    int most = 1;
    for (const BestWanted& one : wanted) most = std::max(most, one.count);
    const Array<float> there(device_, logits);
    const Array<BestWanted> asked(device_, wanted);
    const Array<std::byte> scratch(device_, best_logits_scratch(rows, vocabulary));
    const Array<Word2> out(device_, static_cast<size_t>(rows * (1 + most)));
    const Status status = best_logits(device_, there.data(), rows, vocabulary, asked.data(), most, scratch.data(), out.data());
    EXPECT_TRUE(status) << status.to_string();
    std::vector<Row> told;
    for (int r = 0; r < rows; ++r) {
      std::vector<Word2> head(1);
      const Word2* const at = out.data() + r * (1 + most);
      EXPECT_TRUE(device_.download(head.data(), at, sizeof(Word2)));
      Row& row = told.emplace_back();
      row.known = static_cast<int>(head[0].x) >= 0;
      row.top.total = std::bit_cast<float>(head[0].y);
      std::vector<Word2> each(row.known ? head[0].x : 0);
      if (!each.empty()) {
        EXPECT_TRUE(device_.download(each.data(), at + 1, each.size() * sizeof(Word2)));
      }
      for (const Word2& one : each) row.top.best.emplace_back(std::bit_cast<float>(one.x), static_cast<int32_t>(one.y));
    }
    return told;
  }

  static TopLogits plainly(std::span<const float> row, const BestWanted& wanted) {
    TopLogits top;
    for (int i = 0; i < wanted.numbers; ++i)
      if (row[static_cast<size_t>(i)] > -INFINITY) top.best.emplace_back(row[static_cast<size_t>(i)], i);
    std::stable_sort(top.best.begin(), top.best.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    for (const auto& one : top.best) top.total += std::exp((double{one.first} - top.best[0].first) * wanted.inverse_temperature);
    top.best.resize(std::min(top.best.size(), static_cast<size_t>(wanted.count)));
    return top;
  }

  void expect_the_best(const std::vector<float>& logits, int vocabulary, const std::vector<BestWanted>& wanted) {
    const std::vector<Row> got = best(logits, vocabulary, wanted);
    for (size_t r = 0; r < wanted.size(); ++r) {
      const TopLogits want = plainly(std::span(logits).subspan(r * static_cast<size_t>(vocabulary)), wanted[r]);
      ASSERT_TRUE(got[r].known);
      ASSERT_EQ(got[r].top.best, want.best) << vocabulary << " logits, the best " << wanted[r].count << " of " << wanted[r].numbers;
      if (wanted[r].inverse_temperature > 0 && wanted[r].count > 1) {
        ASSERT_NEAR(got[r].top.total, want.total, want.total * TopLogits::kTotalError / 4) << vocabulary << " logits";
      }
    }
  }

  // On a grid of `step`, so that there are equals.
  std::vector<float> logits(size_t n, float spread, float step = 0) {
    std::vector<float> values(n);
    std::normal_distribution<float> normal(0, spread);
    for (float& value : values) {
      value = normal(random_);
      if (step > 0) value = std::nearbyint(value / step) * step;   // minus zero too
    }
    return values;
  }

  std::mt19937 random_{11};
  TestDevice device_;
};

TEST_F(BestLogits, AreThoseOfASortedRowAndAllOfItIsWeighed) {
  for (const int vocabulary : {1, 2, 31, 257, 1000, 4096, 4097, 9001})
    for (const float step : {0.0f, 0.5f})
      expect_the_best(logits(2 * static_cast<size_t>(vocabulary), 3, step), vocabulary,
                      {{kMostBest, vocabulary, 1 / 0.6f}, {std::min(40, vocabulary), std::max(1, vocabulary - 7), 0.5f}});
}

TEST_F(BestLogits, OfALargeVocabularyAreFoundInFewOfItsGroups) {
  expect_the_best(logits(151936, 3), 151936, {{kMostBest, 151643, 1 / 0.6f}});
}

TEST_F(BestLogits, TheBestAloneIsTheFirstOfEquals) {
  for (const int vocabulary : {1, 5, 4097}) expect_the_best(logits(3 * static_cast<size_t>(vocabulary), 2, 1), vocabulary, std::vector<BestWanted>(3, {1, vocabulary, 0}));
}

TEST_F(BestLogits, PassOverWhatIsNoNumber) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  std::vector<float> row = logits(3 * 600, 2);
  for (size_t i = 0; i < 600; ++i) row[i] = i % 3 ? (i % 2 ? nan : -infinity) : row[i];
  for (size_t i = 600; i < 1200; ++i) row[i] = i % 2 ? nan : -infinity;
  row[1300] = infinity, row[1400] = std::numeric_limits<float>::lowest();
  expect_the_best(row, 600, {{kMostBest, 600, 1}, {kMostBest, 600, 1}, {kMostBest, 600, 0}});
  expect_the_best(row, 600, std::vector<BestWanted>(3, {1, 600, 0}));
}

// Only numbers above all others that crowd into few groups are too many.
TEST_F(BestLogits, ARowWhoseBestCrowdIntoFewGroupsIsAskedForWhole) {
  constexpr int kVocabulary = 20 * kMostGroups;
  std::vector<float> crowded = logits(kVocabulary, 1);
  for (int i = 0; i < kVocabulary; ++i)
    if (i % kMostGroups < 250) crowded[static_cast<size_t>(i)] += 100;
  const std::vector<Row> got = best(crowded, kVocabulary, {{kMostBest, kVocabulary, 1}});
  EXPECT_FALSE(got[0].known);
}

TEST_F(BestLogits, RowsAreTakenTogether) {
  const std::vector<float> from = logits(5 * 70, 1);
  const std::vector<int32_t> rows = {4, 0, 3};
  const Array<float> there(device_, from), out(device_, 3 * 70);
  const Array<int32_t> which(device_, rows);
  ASSERT_TRUE(launch<TakeRows>(device_, {3, 1}, {there.data(), which.data(), out.data(), 70}));
  const std::vector<float> got = out.values();
  for (size_t r = 0; r < 3; ++r)
    for (size_t i = 0; i < 70; ++i) ASSERT_EQ(got[r * 70 + i], from[static_cast<size_t>(rows[r]) * 70 + i]);
}

}  // namespace
}  // namespace wenqu::test
