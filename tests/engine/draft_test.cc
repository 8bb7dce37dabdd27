#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "engine/draft/acceptance.h"
#include "engine/draft/batch_times.h"
#include "engine/draft/drafter.h"
#include "engine/draft/repeat_index.h"

namespace wenqu::engine {
namespace {

std::vector<int32_t> random_text(uint32_t seed, size_t size, int32_t alphabet) {
  std::mt19937 random(seed);
  std::vector<int32_t> text(size);
  for (int32_t& token : text) token = static_cast<int32_t>(random() % static_cast<uint32_t>(alphabet));
  return text;
}

// Whether the last `length` tokens of the text also end at `end`.
bool ends_there(std::span<const int32_t> text, size_t length, size_t end) {
  return length <= end && std::equal(text.end() - static_cast<std::ptrdiff_t>(length), text.end(), text.begin() + static_cast<std::ptrdiff_t>(end - length));
}

size_t longest_repeat(std::span<const int32_t> text) {
  size_t longest = 0;
  for (size_t end = 1; end < text.size(); ++end)
    while (ends_there(text, longest + 1, end)) ++longest;
  return longest;
}

TEST(RepeatIndex, FindsTheLongestEndThatStoodBeforeAsComparingAllPlacesDoes) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const int32_t alphabet = 1 + static_cast<int32_t>(seed % 6);
    RepeatIndex index;
    std::vector<int32_t> text = random_text(seed, 120, alphabet);
    text.insert(text.end(), text.begin() + 20, text.begin() + 70);   // a long repeat, too
    for (size_t size = 1; size <= text.size(); ++size) {
      index.push(text[size - 1]);
      const std::span<const int32_t> so_far = std::span(text).first(size);
      const RepeatIndex::Repeat repeat = index.repeat();
      ASSERT_EQ(repeat.length, longest_repeat(so_far)) << "seed " << seed << ", size " << size;
      if (repeat.length == 0) continue;
      ASSERT_LT(repeat.next, size);
      ASSERT_TRUE(ends_there(so_far, repeat.length, repeat.next)) << "seed " << seed << ", size " << size;
    }
  }
}

TEST(RepeatIndex, PrefersThePlaceThatItMetLast) {
  RepeatIndex index;
  for (const int32_t token : {1, 2, 7, 1, 2, 8, 1, 2}) index.push(token);
  EXPECT_EQ(index.repeat().length, 2u);
  EXPECT_EQ(index.text()[index.repeat().next], 8);
}

TEST(RepeatIndex, ForgetsAllWhenCleared) {
  RepeatIndex index;
  for (const int32_t token : random_text(1, 500, 3)) index.push(token);
  index.clear();
  EXPECT_TRUE(index.text().empty());
  index.push(1);
  EXPECT_EQ(index.repeat().length, 0u);
  index.push(1);
  EXPECT_EQ(index.repeat().length, 1u);
  EXPECT_EQ(index.repeat().next, 1u);
}

TEST(Acceptance, FollowsTheRecordOfEachGround) {
  Acceptance acceptance;
  const Acceptance::Ground longer{20, false}, shorter{2, false}, slip{2, true};
  EXPECT_GT(acceptance.chance(longer), acceptance.chance(shorter)) << "long matches are trusted more at first";
  for (int i = 0; i < 50; ++i) acceptance.add(shorter, true), acceptance.add(longer, i % 2 == 0);
  EXPECT_GT(acceptance.chance(shorter), 0.85);
  EXPECT_NEAR(acceptance.chance(longer), 0.5, 0.1);
  const double before = acceptance.chance(slip);
  for (int i = 0; i < 20; ++i) acceptance.add(shorter, false);
  EXPECT_LT(acceptance.chance(shorter), 0.2) << "older outcomes fade";
  EXPECT_EQ(acceptance.chance(slip), before);
  EXPECT_EQ(acceptance.chance({0, false}), 0);
}

TEST(BatchTimes, ReckonsWithTheExpertsThatABatchReads) {
  const BatchTimes dense({.all = 1000});
  // All bytes in experts, 8 of 256: chance of an expert to be read by 8 tokens, from its complement.
  const BatchTimes mixture({.all = 1000, .experts = 1000, .expert_count = 256, .experts_used = 8});
  const BatchTimes half({.all = 1000, .experts = 500, .expert_count = 256, .experts_used = 8});
  EXPECT_EQ(dense.relative(1), 1);
  EXPECT_EQ(mixture.relative(1), 1);
  const double arithmetic = dense.relative(8) - 1;
  EXPECT_NEAR(mixture.relative(8) - arithmetic, 32 * (1 - std::pow(31.0 / 32, 8)), 1e-9);
  EXPECT_NEAR(half.relative(8), (dense.relative(8) + mixture.relative(8)) / 2, 1e-9);
  const BatchTimes few({.all = 1000, .experts = 1000, .expert_count = 2, .experts_used = 2});
  EXPECT_NEAR(few.relative(8), dense.relative(8), 1e-9) << "experts that every token uses are dense";
}

TEST(BatchTimes, TakesWhatWasMeasuredAndFillsTheGaps) {
  BatchTimes times({.all = 1000});
  times.add(3, 4);
  EXPECT_EQ(times.relative(3), times.reckoned(3)) << "nothing to compare with yet";
  times.add(1, 2);
  EXPECT_EQ(times.relative(1), 1);
  EXPECT_EQ(times.relative(3), 2);
  EXPECT_EQ(times.relative(2), 1.5);
  EXPECT_NEAR(times.relative(5), 3, 1e-9) << "a further token costs as it did so far";
  times.add(7, 5);
  EXPECT_EQ(times.relative(5), 2.25);
  times.add(2, 1);
  EXPECT_EQ(times.relative(2), 1) << "never less than one token alone";
  // Lower times count more than higher ones.
  BatchTimes disturbed({.all = 1000}), quiet({.all = 1000});
  for (BatchTimes* one : {&disturbed, &quiet}) one->add(1, 1), one->add(2, 2);
  disturbed.add(2, 3), quiet.add(2, 1);
  EXPECT_LT(disturbed.relative(2) - 2, 2 - quiet.relative(2));
  // What is tried grows with what was measured.
  BatchTimes growing({.all = 1000});
  EXPECT_EQ(growing.largest(), 2u);
  growing.add(1, 1);
  EXPECT_EQ(growing.largest(), 2u);
  growing.add(2, 1);
  EXPECT_EQ(growing.largest(), 4u);
  growing.add(5, 1);
  EXPECT_EQ(growing.largest(), 8u);
  // What makes no sense is passed over.
  times.add(0, 1), times.add(9, 1), times.add(1, 0), times.add(1, NAN);
  EXPECT_EQ(times.relative(3), 2);
}

TEST(BatchTimes, OneBadMomentDoesNotCountForEver) {
  BatchTimes times({.all = 1000});
  times.add(1, 1), times.add(4, 100), times.add(8, 1.5);
  for (int i = 0; i < 2000; ++i) times.age();
  EXPECT_NEAR(times.relative(4), times.reckoned(4), 1e-3);
  EXPECT_EQ(times.relative(8), 1.5) << "less than reckoned stays";
  // Measured anew, it is what it was, and is doubted more slowly from then on.
  times.add(4, 100);
  EXPECT_EQ(times.relative(4), 100);
  const auto after = [](BatchTimes aged, int steps) {
    for (int i = 0; i < steps; ++i) aged.age();
    return aged.relative(4);
  };
  BatchTimes young({.all = 1000});
  young.add(1, 1), young.add(4, 100);
  EXPECT_GT(after(times, 50), after(young, 50));
}

// A drafter to whom batches cost as `cost` says.
class DrafterTest : public testing::Test {
 protected:
  static Drafter drafter(double further_token, size_t most = 7) {
    Drafter made({.max_tokens = most}, {.all = 1000});
    for (size_t n = 1; n <= 8; ++n) made.took(n, 1 + further_token * static_cast<double>(n - 1));
    return made;
  }
  struct Run {
    size_t steps = 0, drafted = 0, accepted = 0;
    double cost = 0;
  };
  // The text as a model chooses it behind `prompt`, with batches that cost 1 + further_token (n - 1).
  static Run run(Drafter& drafter, const std::vector<int32_t>& prompt, const std::vector<int32_t>& text, double further_token) {
    Run result;
    drafter.follow(prompt);
    for (size_t i = 0; i < text.size();) {
      drafter.push(text[i]);
      const std::span<const int32_t> draft = drafter.draft(text.size() - i - 1);
      const size_t drafted = draft.size();
      const size_t right = static_cast<size_t>(std::mismatch(draft.begin(), draft.end(), text.begin() + static_cast<std::ptrdiff_t>(i) + 1).first - draft.begin());
      const double cost = 1 + further_token * static_cast<double>(drafted);
      drafter.took(1 + drafted, cost);
      for (size_t k = 0; k < right; ++k) drafter.push(text[i + 1 + k]);
      i += 1 + right;
      ++result.steps, result.drafted += drafted, result.accepted += right, result.cost += cost;
    }
    return result;
  }
};

TEST_F(DrafterTest, DraftsWhatFollowedTheSameTokensBefore) {
  Drafter drafter = DrafterTest::drafter(0);
  const std::vector<int32_t> prompt = random_text(3, 400, 10000);
  drafter.follow(prompt);
  for (size_t i = 100; i < 120; ++i) drafter.push(prompt[i]);
  const std::span<const int32_t> draft = drafter.draft(7);
  ASSERT_EQ(draft.size(), 7u);
  EXPECT_TRUE(std::equal(draft.begin(), draft.end(), prompt.begin() + 120));
  EXPECT_EQ(drafter.draft(3).size(), 3u);
  EXPECT_TRUE(drafter.draft(0).empty());
}

TEST_F(DrafterTest, ARepeatThatRunsIntoTheEndGoesOnInTheDraft) {
  Drafter drafter = DrafterTest::drafter(0);
  drafter.follow(std::vector<int32_t>{});
  for (int i = 0; i < 40; ++i) drafter.push(i % 3);
  const std::span<const int32_t> draft = drafter.draft(7);
  ASSERT_EQ(draft.size(), 7u);
  for (size_t i = 0; i < draft.size(); ++i) EXPECT_EQ(draft[i], static_cast<int32_t>((40 + i) % 3));
}

TEST_F(DrafterTest, GoesOnBehindATokenThatDiffers) {
  Drafter drafter = DrafterTest::drafter(0.1);
  const std::vector<int32_t> prompt = random_text(4, 2000, 100000);
  std::vector<int32_t> text(prompt.begin(), prompt.begin() + 1000);
  for (size_t i = 15; i < text.size(); i += 16) text[i] = 200000 + static_cast<int32_t>(i);   // stands nowhere else
  const Run run = DrafterTest::run(drafter, prompt, text, 0.1);
  EXPECT_GT(run.accepted, text.size() * 3 / 4);
}

TEST_F(DrafterTest, ADraftThatIsAlwaysWrongCostsNextToNothing) {
  // A text of a few tokens, which matches itself everywhere, and takes another token than the one guessed each time.
  for (const int32_t alphabet : {2, 3, 7})
    for (const double further_token : {0.02, 0.1, 0.3, 1.0}) {
      Drafter guessing({.always = true}, {.all = 1000});
      std::vector<int32_t> text;
      std::mt19937 random(10);
      for (size_t i = 0; i < 600; ++i) {
        const std::span<const int32_t> guess = guessing.draft(1);
        const int32_t other = static_cast<int32_t>(random() % static_cast<uint32_t>(alphabet - 1));
        text.push_back(guess.empty() ? static_cast<int32_t>(i) % alphabet : (guess[0] + 1 + other) % alphabet);
        guessing.push(text.back());
      }
      Drafter drafter({}, {.all = 1000});
      const Run run = DrafterTest::run(drafter, {}, text, further_token);
      EXPECT_EQ(run.accepted, 0u);
      EXPECT_LT(run.cost, 1.03 * static_cast<double>(text.size())) << alphabet << " " << further_token << ": " << run.drafted << " drafted";
    }
}

TEST_F(DrafterTest, WhatWasGainedBeforeIsNotSpentOnDraftsThatFail) {
  // A text that repeats its source, then one that always takes another token than the one guessed.
  const std::vector<int32_t> prompt = random_text(11, 4000, 100000);
  std::vector<int32_t> text(prompt.begin(), prompt.begin() + 2000);
  Drafter guessing({.always = true}, {.all = 1000}), drafter({}, {.all = 1000});
  guessing.follow(prompt);
  for (const int32_t token : text) guessing.push(token);
  EXPECT_LT(run(drafter, prompt, text, 0.1).cost, 0.3 * static_cast<double>(text.size()));
  text.clear();
  for (size_t i = 0; i < 1000; ++i) {
    const std::span<const int32_t> guess = guessing.draft(1);
    text.push_back(!guess.empty() && guess[0] == 200000 ? 200001 : 200000);
    guessing.push(text.back());
  }
  std::vector<int32_t> so_far = prompt;
  so_far.insert(so_far.end(), prompt.begin(), prompt.begin() + 2000);
  EXPECT_LT(run(drafter, so_far, text, 0.1).cost, 1.03 * static_cast<double>(text.size()));
}

TEST_F(DrafterTest, GainsAsMuchAsTheAcceptanceAllowsAndNeverLosesMuch) {
  const std::vector<int32_t> prompt = random_text(5, 4000, 100000);
  for (double accepted : {0.0, 0.5, 0.9, 1.0})
    for (double further_token : {0.05, 0.15, 0.5, 1.0}) {
      std::mt19937 random(6);
      std::vector<int32_t> text(prompt.begin(), prompt.begin() + 2000);
      for (int32_t& token : text)
        if (std::uniform_real_distribution<>()(random) >= accepted) token = 200000 + static_cast<int32_t>(random() % 100000);
      Drafter drafter({}, {.all = 1000});
      const Run run = DrafterTest::run(drafter, prompt, text, further_token);
      // The best that batches of one length give where the next token of the source always comes true so often.
      double best = 1, tokens = 1, chance = 1;
      for (int k = 1; k <= 7; ++k) best = std::max(best, (tokens += chance *= accepted) / (1 + further_token * k));
      const double gain = static_cast<double>(text.size()) / run.cost;
      EXPECT_GT(gain, 0.97) << accepted << " " << further_token;
      EXPECT_GT(gain, 0.75 * best) << accepted << " " << further_token;
    }
}

TEST_F(DrafterTest, NoDraftWhereEveryTokenReadsExpertsOfItsOwn) {
  // A mixture of experts without any other weights, each token with experts of its own.
  Drafter drafter({}, {.all = 1000, .experts = 1000, .expert_count = 4096, .experts_used = 1});
  const std::vector<int32_t> prompt = random_text(7, 1000, 100000);
  const std::vector<int32_t> text(prompt.begin(), prompt.begin() + 500);
  EXPECT_EQ(run(drafter, prompt, text, 1).drafted, 0u);
  Drafter off({.max_tokens = 0}, {.all = 1000});
  EXPECT_EQ(run(off, prompt, text, 0).drafted, 0u);
}

TEST_F(DrafterTest, FollowsATextThatIsNotTheOneItKnew) {
  Drafter drafter = DrafterTest::drafter(0);
  const std::vector<int32_t> first = random_text(8, 300, 100000), second = random_text(9, 300, 100000);
  drafter.follow(first);
  drafter.follow(second);
  for (size_t i = 0; i < 20; ++i) drafter.push(first[i]);
  EXPECT_TRUE(drafter.draft(7).empty()) << "what was in another text only";
  drafter.follow(second);   // shorter again
  for (size_t i = 50; i < 70; ++i) drafter.push(second[i]);
  const std::span<const int32_t> draft = drafter.draft(7);
  ASSERT_EQ(draft.size(), 7u);
  EXPECT_TRUE(std::equal(draft.begin(), draft.end(), second.begin() + 70));
}

}  // namespace
}  // namespace wenqu::engine
