// Drafts what a text may go on with, from what has stood in it: answers repeat their sources. A draft is worth
// reading when the tokens of it that will likely be right are worth more than the time it adds to a batch, by
// the record of guesses (acceptance) and of batches (batch_times); otherwise there is none. A record may mislead, so
// what drafts have cost is kept in an account besides: where no guess comes true, they cost no more time than half a
// hundredth of the text's and, behind a stretch where they did, a few tokens'.
//
// Whoever uses a draft chooses every token as without it and compares. A draft is one certain guess, so that is
// rejection sampling: the text and its distribution are what they would be without drafts.
// Thread safety: one thread at a time. Short of memory, a drafter gives no drafts any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/draft/acceptance.h"
#include "engine/draft/batch_times.h"
#include "engine/draft/repeat_index.h"

namespace wenqu::engine {

struct DraftOptions {
  // The longest draft. 0: none; more than 7 count as 7, since longer batches pay no more.
  size_t max_tokens = BatchTimes::kMost - 1;
  // As long as they may be wherever anything matches, whether it pays or not: for tests and measurements.
  bool always = false;
};

class Drafter {
 public:
  Drafter(const DraftOptions& options, const WeightBytes& weights);

  // The text so far. Costs little where it goes on from what is known already.
  void follow(std::span<const int32_t> text) noexcept;
  // Its next token, which the model chose.
  void push(int32_t token) noexcept;

  // What may come next, up to `most` tokens; empty when no draft pays. Valid until the next call.
  std::span<const int32_t> draft(size_t most) noexcept;

  // A batch of the last token and what was taken of the draft took so long, `tokens` in all.
  void took(size_t tokens, double seconds) noexcept;

 private:
  struct Guess {
    size_t next = 0;   // the place in the text whose token comes next
    Acceptance::Ground ground;
    bool any = false;
  };
  Guess from_repeat() const;
  Guess best() const;
  void give_up() noexcept;

  const size_t most_;
  const bool always_;
  RepeatIndex index_;
  Guess slip_;   // a place that was followed until a token differed: the text may go on behind it
  Acceptance acceptance_;
  BatchTimes times_;
  std::vector<int32_t> draft_;
  size_t came_true_ = 0;     // of the draft
  double account_;           // what drafts may still cost, in times of single tokens
  bool gave_up_ = false;
};

}  // namespace wenqu::engine
