// Compute threads: they share one loop at a time in small pieces and sleep when there is none. A loop is
// over when its pieces are done, whoever did them: on a busy machine, a thread that the system has not
// let run holds nobody up.
//
// Thread safety: run() from one thread at a time. The calling thread takes part. Threads inherit the
// caller's affinity and priority; nothing is changed about either.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
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
  // One call of run(). A worker may look at it long after it is over, and finds no piece left.
  struct Loop {
    const Body* body;   // valid while a piece is left
    size_t count, grain;
    std::atomic<size_t> next{0};       // first of the pieces nobody has taken
    std::atomic<size_t> finished{0};   // of [0, count)
    std::atomic<bool> failed{false};   // a body threw
  };
  static void take_pieces(Loop& loop);
  void work();

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::shared_ptr<Loop> loop_;            // under mutex_
  std::atomic<uint64_t> generation_{0};   // raised by one for each loop, under mutex_
  std::atomic<bool> stopping_{false};
};

}  // namespace wenqu::engine::cpu
