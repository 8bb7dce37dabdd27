// How often a guess at the next token has come true, by how well what stands before it matched: a long match is
// trusted more than a short one, each by its own record, of which older outcomes fade.
//
// Guesses are judged whether they were read ahead or not, so the record costs nothing where drafts do not pay.
// Thread safety: one thread at a time.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>

namespace wenqu::engine {

class Acceptance {
 public:
  // What a guess stands on: so many tokens that matched; `slipped`: those since one that did not, in the midst of
  // a longer match.
  struct Ground {
    size_t matched = 0;
    bool slipped = false;
  };

  void add(const Ground& ground, bool came_true) {
    Record& record = records_[place(ground)];
    record.hits = kFade * record.hits + (came_true ? 1 : 0);
    record.trials = kFade * record.trials + 1;
  }
  double chance(const Ground& ground) const {
    const size_t at = place(ground);
    return (records_[at].hits + kFirstWeight * kFirst[at]) / (records_[at].trials + kFirstWeight);
  }

 private:
  struct Record {
    double hits = 0, trials = 0;
  };
  static constexpr size_t kMatches = 7, kSlips = 4;
  static constexpr double kFade = 0.9;
  // Before anything is known: 0, 1, 2-3, 4-7, 8-15, 16-31, more tokens that matched; 0, 1, 2-3, more since a slip.
  static constexpr std::array<double, kMatches + kSlips> kFirst = {0, 0.1, 0.3, 0.55, 0.75, 0.85, 0.9, 0.4, 0.6, 0.75, 0.85};
  static constexpr double kFirstWeight = 2;

  static size_t place(const Ground& ground) {
    const size_t digits = static_cast<size_t>(std::bit_width(ground.matched));
    return ground.slipped ? kMatches + std::min(digits, kSlips - 1) : std::min(digits, kMatches - 1);
  }

  std::array<Record, kMatches + kSlips> records_;
};

}  // namespace wenqu::engine
