// The threads that compute answers, so that network threads never do.
//
// Thread safety: all members may be called from any thread; stop() from one at a time, and not from
// inside a job.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/status.h"

namespace wenqu::net {

class WorkerPool {
 public:
  using Job = std::function<void()>;   // must not throw

  WorkerPool(size_t threads, size_t max_waiting) : max_waiting_(max_waiting), wanted_threads_(threads) {}
  ~WorkerPool() { stop(); }

  // Errors: io_error when the system gives no threads.
  Status start();
  // Errors: busy when as many jobs wait as may, or the pool is stopped.
  Status submit(Job job);
  // For a job that ends to hand on to its successor: it takes over the job's place, so there is no limit.
  void succeed(Job job);
  // Drops the jobs that wait and joins the threads when the running ones have ended.
  void stop();

 private:
  void work();

  const size_t max_waiting_;
  const size_t wanted_threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> waiting_;
  size_t idle_ = 0;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace wenqu::net
