#include "retrieval/index/upkeep.h"

#include <algorithm>
#include <system_error>

#include "base/thread.h"

namespace wenqu::retrieval {
namespace {

// So long after the last change an index counts as idle.
constexpr std::chrono::seconds kIdleAfter{2};
// So long after a refresh or commit that failed another one is tried.
constexpr std::chrono::seconds kRetryAfter{1};
// Above it whoever adds has to wait for the merges.
constexpr size_t kMostSegments = 60;

// A merge that was told to end has not failed. A commit may say the same of a model that refused, and has.
Status unless_stopped(const Status& status) { return status.code() == StatusCode::cancelled ? Status() : status; }

}  // namespace

Upkeep::Upkeep(Writer& writer, std::mutex& changes, Show show, const Options& options)
    : writer_(writer), changes_(changes), show_(std::move(show)), options_(options) {
  if (!options_.own_threads) return;
  try {
    merger_ = start_thread([this] { merge_in_background(); });
    if (options_.visible_within.count() == 0 && options_.durable_within.count() == 0) return;
    refresher_ = start_thread([this] { refresh_in_background(); });
  } catch (const std::system_error& error) {   // the system gives no thread: the first one, if there is one, has to end
    stop();
    throw std::system_error(error.code(), "cannot start a thread that looks after the index");
  } catch (...) {
    stop();
    throw;
  }
}

Upkeep::~Upkeep() { stop(); }

void Upkeep::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  cancel_.cancel();
  wake_.notify_all();
  room_.notify_all();
  if (merger_.joinable()) merger_.join();
  if (refresher_.joinable()) refresher_.join();
}

void Upkeep::note_change() {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  bool wake = false;
  const auto note = [&](bool there, std::optional<Clock::time_point>& since) {
    if (there && !since) {
      since = now;
      wake = true;
    } else if (!there) {
      since.reset();
    }
  };
  note(writer_.has_unseen_changes(), unseen_since_);
  note(writer_.has_uncommitted_changes(), uncommitted_since_);
  if (writer_.segments() != segments_) {
    segments_ = writer_.segments();
    merge_due_ = idle_due_ = wake = true;
    room_.notify_all();
  }
  last_change_ = now;
  if (wake) wake_.notify_all();
}

void Upkeep::wait_for_room() {
  if (!options_.own_threads) return;
  std::unique_lock lock(mutex_);
  // Where merges fail, or none is to be made, there will be no room, and nothing is gained by waiting for it.
  room_.wait(lock, [this] {
    return stop_ || segments_ <= kMostSegments || !status_ || !(merge_due_ || merging_now_);
  });
}

Status Upkeep::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

void Upkeep::keep_status(Status status) {
  const std::lock_guard lock(mutex_);
  status_ = std::move(status);
  room_.notify_all();
}

Result<bool> Upkeep::merge_once(MergeWish wish, const CancelToken& cancel) {
  std::unique_ptr<MergeJob> merge;
  {
    const std::lock_guard lock(changes_);
    merge = writer_.plan_merge(wish);
  }
  if (!merge) return false;
  WENQU_RETURN_IF_ERROR(merge->run(cancel));
  const std::lock_guard lock(changes_);
  const Status finished = writer_.finish_merge(std::move(merge));
  show_(writer_.snapshot());
  note_change();
  WENQU_RETURN_IF_ERROR(finished);
  return true;
}

Status Upkeep::merge_now(MergeWish wish, const CancelToken& cancel) {
  const std::lock_guard merging(merging_);
  for (;;) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    auto merged = merge_once(wish, cancel);
    keep_status(unless_stopped(merged.status()));
    if (!merged) return merged.status();
    if (!*merged) return {};
  }
}

void Upkeep::merge_in_background() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    MergeWish wish = MergeWish::as_needed;
    if (!merge_due_) {
      const auto idle_at = last_change_ + kIdleAfter;
      if (!idle_due_) {
        wake_.wait(lock);
        continue;
      }
      if (Clock::now() < idle_at) {
        wake_.wait_until(lock, idle_at);
        continue;
      }
      wish = MergeWish::when_idle;
      idle_due_ = false;
    }
    merge_due_ = false;
    merging_now_ = true;
    lock.unlock();
    {
      const std::lock_guard merging(merging_);
      const auto merged = merge_once(wish, cancel_.token());
      if (!merged || *merged) keep_status(unless_stopped(merged.status()));
      lock.lock();
      // After a failure it is tried again when something has changed.
      if (merged && *merged) merge_due_ = true;
      merging_now_ = false;
      room_.notify_all();
    }
  }
}

// Half of the promised time is left for the work itself, and for whoever holds the index just then.
Upkeep::Clock::time_point Upkeep::refresh_time() const {
  if (!unseen_since_ || options_.visible_within.count() == 0) return Clock::time_point::max();
  return std::max(*unseen_since_ + options_.visible_within / 2, not_before_);
}

Upkeep::Clock::time_point Upkeep::commit_time() const {
  if (!uncommitted_since_ || options_.durable_within.count() == 0) return Clock::time_point::max();
  return std::max(*uncommitted_since_ + options_.durable_within / 2, not_before_);
}

void Upkeep::refresh_in_background() {
  bool failed = false;   // the last time
  std::unique_lock lock(mutex_);
  while (!stop_) {
    const auto now = Clock::now();
    const auto next = std::min(refresh_time(), commit_time());
    if (now < next) {
      if (next == Clock::time_point::max())
        wake_.wait(lock);
      else
        wake_.wait_until(lock, next);
      continue;
    }
    const bool commit = now >= commit_time();
    lock.unlock();
    Status status;
    {
      const std::lock_guard changes(changes_);
      status = commit ? writer_.commit() : writer_.refresh();
      // What cannot be committed yet can often be shown: a model that is away hides nothing.
      if (commit && !status && options_.visible_within.count() > 0) (void)writer_.refresh().is_ok();
      show_(writer_.snapshot());
      note_change();
    }
    const bool well = status.is_ok();
    if (!well || failed) keep_status(std::move(status));
    lock.lock();
    failed = !well;
    // What failed is kept by the writer, and tried again.
    not_before_ = well ? Clock::time_point() : Clock::now() + kRetryAfter;
  }
}

}  // namespace wenqu::retrieval
