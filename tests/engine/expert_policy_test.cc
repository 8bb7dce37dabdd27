#include "engine/residency/expert_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <list>
#include <numeric>
#include <random>

namespace wenqu::engine {
namespace {

constexpr size_t kExperts = 256;
constexpr double kHalfLife = 300;

// Experts that are chosen as words of a text are: the k-th most popular one 1/k as often as the first.
class Zipf {
 public:
  explicit Zipf(uint32_t seed) : random_(seed), names_(kExperts) {
    std::iota(names_.begin(), names_.end(), size_t{0});
    change_topic();
    for (size_t k = 1; k <= kExperts; ++k) weights_.push_back(1.0 / static_cast<double>(k));
    distribution_ = std::discrete_distribution<size_t>(weights_.begin(), weights_.end());
  }
  size_t next() { return names_[distribution_(random_)]; }
  void change_topic() { std::shuffle(names_.begin(), names_.end(), random_); }
  // What no policy can do better than while the topic stays: the `kept` most popular ones are always there.
  double best(size_t kept) const {
    return std::accumulate(weights_.begin(), weights_.begin() + static_cast<std::ptrdiff_t>(kept), 0.0) /
           std::accumulate(weights_.begin(), weights_.end(), 0.0);
  }

 private:
  std::mt19937 random_;
  std::vector<size_t> names_;
  std::vector<double> weights_;
  std::discrete_distribution<size_t> distribution_;
};

// One choice a step; what it is of `limit` bytes of experts of one byte.
bool hit(ExpertPolicy& policy, size_t expert, uint64_t limit) {
  policy.step(1);
  policy.use(expert, 1);
  if (policy.in_memory(expert)) return true;
  policy.hold(expert);
  policy.add(expert);
  policy.make_room(limit);
  policy.let_go(expert);
  return false;
}

// The same, from the definition: every use there was, each with its age.
class Reference {
 public:
  bool hit(size_t expert, size_t limit) {
    ++now_;
    uses_[expert].push_back(now_);
    if (std::ranges::count(kept_, expert)) return true;
    kept_.push_back(expert);
    while (kept_.size() > limit) {
      const auto least = std::min_element(kept_.begin(), kept_.end() - 1, [&](size_t a, size_t b) { return value(a) < value(b); });
      kept_.erase(least);
    }
    return false;
  }

 private:
  double value(size_t expert) const {
    double sum = 0;
    for (double time : uses_[expert]) sum += std::exp2((time - now_) / kHalfLife);
    return sum;
  }
  std::vector<std::vector<double>> uses_ = std::vector<std::vector<double>>(kExperts);
  std::vector<size_t> kept_;
  double now_ = 0;
};

TEST(ExpertPolicy, DecidesAsTheDefinitionDoes) {
  for (size_t limit : {8, 64}) {
    Zipf zipf(3);
    ExpertPolicy policy(std::vector<uint64_t>(kExperts, 1), kHalfLife);
    Reference reference;
    size_t different = 0;
    for (int step = 0; step < 3000; ++step) {
      if (step == 1500) zipf.change_topic();
      const size_t expert = zipf.next();
      different += hit(policy, expert, limit) != reference.hit(expert, limit);
    }
    EXPECT_LE(different, 3u) << limit;   // ties
  }
}

TEST(ExpertPolicy, ComesNearTheBestOnASkewedStreamAndLeavesTheLastUsedBehind) {
  for (size_t limit : {16, 64, 128}) {
    constexpr int kSteps = 40000, kWarm = 4000;
    Zipf zipf(4);
    ExpertPolicy policy(std::vector<uint64_t>(kExperts, 1), 1024);
    std::list<size_t> last_used;
    double hits = 0, lru_hits = 0;
    for (int step = 0; step < kSteps; ++step) {
      const size_t expert = zipf.next();
      const bool was = hit(policy, expert, limit);
      const auto place = std::find(last_used.begin(), last_used.end(), expert);
      const bool lru = place != last_used.end();
      if (lru) last_used.erase(place);
      last_used.push_front(expert);
      if (last_used.size() > limit) last_used.pop_back();
      if (step >= kWarm) hits += was, lru_hits += lru;
    }
    const double rate = hits / (kSteps - kWarm), lru_rate = lru_hits / (kSteps - kWarm), best = zipf.best(limit);
    EXPECT_GT(rate, best - 0.06) << limit;
    EXPECT_LT(rate, best + 0.01) << limit;
    EXPECT_GT(rate, lru_rate + 0.02) << limit;
    RecordProperty("hit_rate_" + std::to_string(limit), std::to_string(rate));
    RecordProperty("lru_hit_rate_" + std::to_string(limit), std::to_string(lru_rate));
  }
}

TEST(ExpertPolicy, FollowsAChangeOfTopic) {
  Zipf zipf(5);
  ExpertPolicy policy(std::vector<uint64_t>(kExperts, 1), kHalfLife);
  for (int step = 0; step < 20000; ++step) hit(policy, zipf.next(), 64);
  zipf.change_topic();
  for (int step = 0; step < 2000; ++step) hit(policy, zipf.next(), 64);
  double hits = 0;
  for (int step = 0; step < 4000; ++step) hits += hit(policy, zipf.next(), 64);
  EXPECT_GT(hits / 4000, zipf.best(64) - 0.1);
}

TEST(ExpertPolicy, WhatIsHeldStaysEvenBeyondTheLimit) {
  ExpertPolicy policy({10, 20, 30}, kHalfLife);
  for (size_t i : {0, 1, 2}) policy.add(i), policy.hold(i);
  EXPECT_TRUE(policy.make_room(5).empty());
  policy.let_go(1);
  EXPECT_EQ(policy.make_room(5), std::vector<size_t>{1});
  EXPECT_EQ(policy.bytes_in_memory(), 40u);
  EXPECT_FALSE(policy.in_memory(1));
}

TEST(ExpertPolicy, CountsForAnyLengthOfTime) {
  ExpertPolicy policy({1, 1}, 1);
  policy.add(0), policy.add(1);
  for (int i = 0; i < 5000; ++i) policy.step(1), policy.use(0, 1);
  policy.step(3);
  policy.use(1, 1);
  EXPECT_EQ(policy.make_room(1), std::vector<size_t>{0}) << "one use now counts more than all of those three half-lives ago";
}

}  // namespace
}  // namespace wenqu::engine
