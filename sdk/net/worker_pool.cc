#include "sdk/net/worker_pool.h"

#include <fmt/format.h>

#include <system_error>

namespace wenqu::net {

Status WorkerPool::start() {
  try {
    idle_ = wanted_threads_;
    for (size_t i = 0; i < wanted_threads_; ++i) threads_.emplace_back([this] { work(); });
  } catch (const std::system_error& error) {
    stop();
    return Status(StatusCode::io_error, fmt::format("cannot start {} worker threads: {}", wanted_threads_, error.what()));
  }
  return {};
}

Status WorkerPool::submit(Job job) {
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return Status(StatusCode::busy, "the server is stopping");
    // A job that an idle thread takes at once does not wait.
    if (waiting_.size() >= max_waiting_ + idle_)
      return Status(StatusCode::busy, fmt::format("{} questions wait already: ask again later", max_waiting_));
    waiting_.push_back(std::move(job));
  }
  changed_.notify_one();
  return {};
}

void WorkerPool::succeed(Job job) {
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    waiting_.push_back(std::move(job));
  }
  changed_.notify_one();
}

void WorkerPool::stop() {
  std::deque<Job> dropped;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    dropped.swap(waiting_);
  }
  changed_.notify_all();
  dropped.clear();   // before the join: what runs may wait for what these hold
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void WorkerPool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopped_ || !waiting_.empty(); });
    if (stopped_) return;
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    --idle_;
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
    ++idle_;
  }
}

}  // namespace wenqu::net
