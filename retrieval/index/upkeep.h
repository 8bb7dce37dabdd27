// What an open index does by itself beside the calls of its host, on threads of its own: it makes changes visible and
// safe within stated times, and merges segments. Searches and changes go on meanwhile; only the short ends of each
// step hold them up.
//
// Thread safety: any thread may call.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/index/writer.h"

namespace wenqu::retrieval {

class Upkeep {
 public:
  struct Options {
    bool own_threads = true;
    std::chrono::milliseconds visible_within{0};   // 0: by commit() only
    std::chrono::milliseconds durable_within{0};   // 0: by commit() only
  };
  using Show = std::function<void(std::shared_ptr<const Snapshot>)>;

  // `changes` is held by whoever uses the writer; `show` is called with it held. All three outlive this.
  Upkeep(Writer& writer, std::mutex& changes, Show show, const Options& options);
  // Ends a merge that is going on, and waits for its threads.
  ~Upkeep();

  // To be told after each change, refresh and commit of the host, with `changes` held.
  void note_change();
  // Waits while there are far more segments than merges would leave. REQUIRES: `changes` is not held
  void wait_for_room();
  // Merges until nothing is left to do, on this thread. REQUIRES: `changes` is not held. Errors: as of MergeJob::run()
  // and Writer::commit(); the index is as good as before.
  Status merge_now(MergeWish wish, const CancelToken& cancel);
  // Why the last merge or other work of its own failed; ok when it did not.
  Status status() const;

 private:
  using Clock = std::chrono::steady_clock;

  void merge_in_background();
  void refresh_in_background();
  void stop();
  // One merge; whether there was one to make.
  Result<bool> merge_once(MergeWish wish, const CancelToken& cancel);
  void keep_status(Status status);
  // When changes are to be made visible, and when to be committed, if nobody does it before; never: time_point::max().
  Clock::time_point refresh_time() const;
  Clock::time_point commit_time() const;

  Writer& writer_;
  std::mutex& changes_;
  const Show show_;
  const Options options_;

  std::mutex merging_;             // held by whoever merges; taken before `changes`
  mutable std::mutex mutex_;       // of what follows; taken last
  std::condition_variable wake_;
  std::condition_variable room_;
  bool stop_ = false;
  bool merge_due_ = false;         // segments changed since the last look
  bool merging_now_ = false;
  bool idle_due_ = false;          // something changed since the last merge that was made when idle
  size_t segments_ = 0;
  Clock::time_point last_change_{};
  std::optional<Clock::time_point> unseen_since_;
  std::optional<Clock::time_point> uncommitted_since_;
  Clock::time_point not_before_{};   // the next try of either, after one that failed
  Status status_;
  CancelSource cancel_;
  std::thread merger_;
  std::thread refresher_;
};

}  // namespace wenqu::retrieval
