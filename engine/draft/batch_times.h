// What it costs to read a few tokens in one batch instead of one alone: reckoned from the weights that the batch
// reads until it is measured.
//
// Dense weights are read once for the whole batch. Of a mixture's experts a batch reads those that any of its
// tokens chose, and tokens seldom choose the same: of E experts, u for each token, n tokens that choose
// independently are expected to read E (1 - (1 - u/E)^n).
// Thread safety: one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace wenqu::engine {

// Of the weights that one token reads.
struct WeightBytes {
  uint64_t all = 0;
  uint64_t experts = 0;   // of all: those of the routed experts
  uint32_t expert_count = 0, experts_used = 0;
};

class BatchTimes {
 public:
  static constexpr size_t kMost = 8;   // tokens

  explicit BatchTimes(const WeightBytes& weights);

  void add(size_t tokens, double seconds);
  // In units of a batch of one. REQUIRES, as those below: 1 <= tokens <= kMost
  double relative(size_t tokens) const;
  // A batch that took so long; 1 while there is nothing to compare with.
  double relative_of(double seconds) const { return seconds_[0] > 0 ? seconds / seconds_[0] : 1; }
  // The largest batch to try now: twice the largest one measured, so that a wrong reckoning does not cost much.
  size_t largest() const;
  // As it is reckoned, whatever was measured.
  double reckoned(size_t tokens) const { return reckoned_[tokens - 1]; }
  // Batches that are not read are not measured again. So that one bad moment does not count for ever, this moves
  // what was measured of those of several tokens a little towards what was reckoned, where that is less, until one
  // is read; each time that happened it is slower.
  void age() { age_ += pace_ * (1 - age_); }

 private:
  std::array<double, kMost> reckoned_{};
  std::array<double, kMost> seconds_{};   // 0: never measured
  double age_ = 0, pace_ = 0.01;
};

}  // namespace wenqu::engine
