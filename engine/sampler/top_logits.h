// The best of a row of logits, for choices that need no more of it: what a device tells in place of 150,000 numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace wenqu::engine {

struct TopLogits {
  static constexpr size_t kMost = 256;
  // What `total` may be wrong by, as a share of it.
  static constexpr double kTotalError = 1.0 / (1 << 14);

  std::vector<std::pair<float, int32_t>> best;   // logit and token: larger ones first, lower ids first among equals; no NaN, no -inf
  bool all = false;                              // there are no others
  float temperature = 0;                         // of the total; 0: there is none
  double total = 0;                              // sum of exp((logit - best[0]) / temperature) over the whole row
};

// What of a row is wanted.
struct TopRequest {
  size_t count = 1;        // of the best; at most TopLogits::kMost
  float temperature = 0;   // of the total; 0: no total
  size_t numbers = 0;      // the row's first ones, which alone stand for tokens; 0: all
  // Whether they are enough; if not, the row itself is wanted. A pure function, called by the thread that reads the batch.
  std::function<bool(const TopLogits& top)> enough;
};

}  // namespace wenqu::engine
