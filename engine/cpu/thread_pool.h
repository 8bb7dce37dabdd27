// Compute threads: they share one loop at a time in small chunks, so that a thread the system has put
// aside does not hold up the others, and sleep when there is none.
//
// Thread safety: run() from one thread at a time. The calling thread takes part. Threads inherit the
// caller's affinity and priority; nothing is changed about either.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace wenqu::engine::cpu {

// Cores this process may run on.
int available_cores();

class ThreadPool {
 public:
  // `threads` with the calling one; 0: available_cores(). Where the system gives fewer, there are fewer.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(begin, end) for pieces that cover [0, count), each of `grain` items or fewer, and
  // returns when all are done. The pieces do not depend on the number of threads. When a body
  // throws, which only a lack of memory makes ours do, run() throws std::bad_alloc after the loop.
  using Body = std::function<void(size_t begin, size_t end)>;
  void run(size_t count, size_t grain, const Body& body);

 private:
  void work();
  void take_pieces();

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};   // raised by one for each loop
  std::atomic<bool> stopping_{false};

  // The loop in hand; written before generation_ is raised.
  const Body* body_ = nullptr;
  size_t count_ = 0;
  size_t grain_ = 1;
  std::atomic<size_t> next_{0};
  std::atomic<int> busy_{0};              // workers that have not finished it
  std::atomic<bool> failed_{false};       // a body threw
};

}  // namespace wenqu::engine::cpu
