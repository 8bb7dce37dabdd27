// Forms batches of the tokens that timelines want read, so that the weights are read once for all of them
// (continuous batching). Whoever brings tokens waits until they are read; one of those who wait runs the
// next batch for all. There is no thread of its own, and nothing happens while nobody waits.
//
// What goes into a batch: the single tokens of every session that decodes; behind them, a piece of a long
// prompt, of the sessions in turn. While anyone decodes, the piece is as long as is read within a bounded
// delay, so that running answers go on. A session alone gets the largest pieces.
//
// Thread safety: all members from any thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/model/forward.h"

namespace wenqu::engine {

// Tokens that one session wants read.
struct ReadJob {
  const void* session = nullptr;   // tells whose they are
  Sequence sequence;               // all of them; the cache has room
};

struct BatchLimits {
  size_t tokens = kMaxBatch;
  size_t decode_tokens = 8;                        // a job of so many or fewer is one of decoding
  std::chrono::microseconds gather{4000};          // the wait for those who decoded just now to come back
  std::chrono::microseconds delay{100000};         // that a piece of a prompt may cost those who decode
};

class BatchQueue {
 public:
  using Limits = BatchLimits;
  // Runs a batch; may throw std::bad_alloc. The token is that of a batch's only session, else empty.
  using Run = std::function<Status(std::span<const Sequence> batch, const CancelToken& cancel)>;
  // Tokens read of all, after each piece.
  using Progress = std::function<void(size_t done)>;

  explicit BatchQueue(Run run, const Limits& limits = {}) : run_(std::move(run)), limits_(limits) {}
  // Of a batch, at least 1. Before the first read().
  void set_largest_batch(size_t tokens) {
    limits_.tokens = tokens;
    limits_.decode_tokens = std::min(limits_.decode_tokens, tokens);
  }

  // Returns when the job's tokens were read, or not, on error. Errors: what `run` gives for this session,
  // out_of_memory, cancelled, deadline_exceeded (within one piece of the model's work when the session is alone in
  // its batch, else behind the batch).
  Status read(const ReadJob& job, const CancelToken& cancel, const Progress& progress = {});

  // A session that has decoded will not come back: nobody waits for it.
  void leave(const void* session);

  // Sessions that have decoded a moment ago.
  size_t decoding() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    const ReadJob* job;
    const CancelToken* cancel;
    size_t done = 0;
    bool running = false;
    Status status;
    bool decodes(const Limits& limits) const { return job->sequence.tokens.size() <= limits.decode_tokens; }
    size_t rest() const { return job->sequence.tokens.size() - done; }
  };
  struct Part {
    Entry* entry;
    Sequence sequence;
    size_t logits;   // numbers there before
  };

  void lead(std::unique_lock<std::mutex>& lock);
  void gather(std::unique_lock<std::mutex>& lock);
  std::vector<Part> compose();
  void run(std::span<const Part> parts, std::span<const Sequence> batch);
  Status run_one(std::span<const Sequence> batch, const CancelToken& cancel);
  bool others_decode(const void* session, Clock::duration within) const;

  const Run run_;
  Limits limits_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Entry> waiting_;   // in the order of their turns
  bool leading_ = false;       // somebody runs a batch
  std::unordered_map<const void*, Clock::time_point> decoded_;   // when each session last did
  double seconds_per_token_ = 0;   // of prompts, measured
};

}  // namespace wenqu::engine
