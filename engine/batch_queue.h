// Forms batches of the tokens that timelines want read, so that the weights are read once for all of them
// (continuous batching). Whoever brings tokens waits until they are read; one of those who wait runs the
// next batch for all. There is no thread of its own, and nothing happens while nobody waits.
//
// What goes into a batch: a piece of a long prompt, of the sessions in turn; without one, the single tokens of every
// session that decodes. So that running answers go on, those who decode are let in between the layers of a piece: they
// have a batch of their own there when they would else wait longer than a bounded delay. So a piece may be as long as
// reads well, if only each of its layers is done within the delay. Where a batch runs as a whole (on a GPU), pieces go
// with those who decode, and all of a piece is read within the delay. The delay is half the time of a batch of those who
// decode where that is more, so that a prompt keeps a third of a slow machine. A session alone gets the largest pieces.
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
  std::chrono::microseconds delay{100000};         // that a prompt may cost those who decode between two batches of theirs
  size_t layers = 1;                               // of a batch, between which others are let in; 1: none are
  size_t urgent_tokens = kMaxUrgent;               // of those who are let in together
};

class BatchQueue {
 public:
  using Limits = BatchLimits;
  // Runs a batch, and calls before_layer, if there is one, where others may be let in, from where it is called again for
  // their batch; may throw std::bad_alloc. The token is that of a batch's only session, else empty.
  using Run = std::function<Status(std::span<const Sequence> batch, const CancelToken& cancel, const BeforeLayer& before_layer)>;
  // Tokens read of all, after each piece.
  using Progress = std::function<void(size_t done)>;

  explicit BatchQueue(Run run, const Limits& limits = {}) : run_(std::move(run)), limits_(limits) {}
  // Both at least 1. Before the first read().
  void set_largest_batch(size_t tokens) {
    limits_.tokens = tokens;
    limits_.decode_tokens = std::min(limits_.decode_tokens, tokens);
    limits_.urgent_tokens = std::min(limits_.urgent_tokens, tokens);
  }
  void set_layers(size_t layers) { limits_.layers = layers; }

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
    bool away = false;   // its thread tells of its progress
    Status status;
    bool decodes(const Limits& limits) const { return job->sequence.tokens.size() <= limits.decode_tokens; }
    size_t rest() const { return job->sequence.tokens.size() - done; }
    // Not what was read, or failed, and only has not left yet.
    bool is_due() const { return !running && rest() > 0 && status && cancel->status(); }
  };
  struct Part {
    Entry* entry;
    Sequence sequence;
    size_t logits, top;   // there before
  };

  // A batch between whose layers others are let in.
  struct Piece {
    Clock::time_point layer_begun;
    Clock::duration longest_layer{};      // expected, or seen
    Clock::duration of_others{};          // the time of those who were let in
  };

  const Entry* next_prompt() const;
  bool may_lead(const Entry& entry) const;
  void lead(std::unique_lock<std::mutex>& lock, const Entry& leader);
  void gather(std::unique_lock<std::mutex>& lock);
  static void take(Entry& entry, size_t count, std::vector<Part>& parts);
  void take_decoding(size_t room, std::vector<Part>& parts);
  void take_prompts(std::vector<Part>& parts);
  std::vector<Part> compose(const Entry& leader);
  void let_others_in(Piece& piece);
  void carry_out(std::unique_lock<std::mutex>& lock, std::span<const Part> parts, const BeforeLayer& before_layer);
  void run(std::span<const Part> parts, std::span<const Sequence> batch, const BeforeLayer& before_layer);
  Status run_one(std::span<const Sequence> batch, const CancelToken& cancel, const BeforeLayer& before_layer);
  bool others_decode(const void* session, Clock::duration within) const;
  Clock::duration delay() const { return std::max<Clock::duration>(limits_.delay, decode_time_ / 2); }

  const Run run_;
  Limits limits_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Entry> waiting_;   // in the order of their turns
  bool leading_ = false;       // somebody runs a batch
  std::unordered_map<const void*, Clock::time_point> decoded_;   // when each session last did
  Clock::time_point last_decoded_{};                             // when anyone did
  Clock::duration decode_time_{};                                // of a batch of those who decode
  double seconds_per_token_ = 0;   // of prompts, measured
};

}  // namespace wenqu::engine
