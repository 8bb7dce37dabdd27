// Compute threads: they share one loop at a time in small pieces and sleep when there is none. A loop is
// over when its pieces are done, whoever did them: on a busy machine, a thread that the system has not
// let run holds nobody up, and one that waits for another's last piece soon gives its core away.
//
// Thread safety: run() and lead() from one thread at a time, and not from inside a body; a pool of one thread,
// which has nothing to share, from any number. Threads inherit the caller's affinity; nothing is changed about it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "base/status.h"

namespace wenqu::engine::cpu {

inline constexpr int kMaxThreads = 1024;
inline constexpr int kLowestPriority = 19;   // the highest nice value

// Cores this process may run on.
int available_cores();

// Errors: invalid_argument, for a number of threads or a nice value that cannot be meant.
Status check_threads(int threads);
Status check_nice(int nice);

struct ThreadPoolOptions {
  int threads = 0;   // with the one that calls; 0: available_cores(). Where the system gives fewer, there are fewer
  int nice = 0;      // 1..19: the threads step back for others of the machine by so much, and lead() is on one of them
};

class ThreadPool {
 public:
  // Options within kMaxThreads and kLowestPriority.
  explicit ThreadPool(const ThreadPoolOptions& options);
  explicit ThreadPool(int threads) : ThreadPool(ThreadPoolOptions{.threads = threads}) {}
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(begin, end) for pieces that cover [0, count), each of `grain` items or fewer, and
  // returns when all are done; the calling thread takes part. The pieces do not depend on the number of
  // threads. When a body throws, which only a lack of memory makes ours do, run() throws std::bad_alloc
  // after the loop.
  using Body = std::function<void(size_t begin, size_t end)>;
  void run(size_t count, size_t grain, const Body& body);

  // Calls work() on a thread of the pool's priority and returns after it: on the calling one, or, where the
  // priority is not the caller's, on one of the pool's own. work() calls run(), and lead() for work in between; what it
  // throws, lead() throws.
  void lead(const std::function<void()>& work);

 private:
  // A count of what is missing, for which one thread waits.
  struct Latch {
    std::atomic<uint32_t> missing{0};
    void arrive(uint32_t count);
    void wait();
  };
  // A loop's pieces are drawn from one word: those drawn below, how many there are above. Only who has drawn a
  // piece that exists looks at the rest, which stays as it is until that piece is reported; so a thread that comes
  // late, or sleeps through ten loops, finds nothing to draw and touches nothing. All in one cache line.
  struct alignas(64) Loop {
    std::atomic<uint64_t> draw{0};
    const Body* body = nullptr;
    size_t count = 0, grain = 0, first = 0;   // first: item of the first piece
    Latch unfinished;                         // pieces
    std::atomic<bool> failed{false};          // a body threw
    bool has_work() const;
  };
  // Threads asleep, and the word they sleep on.
  struct alignas(64) Bed {
    std::atomic<uint32_t> asleep{0};
    std::atomic<uint32_t> calls{0};
  };

  void share(size_t first, size_t count, size_t grain, const Body& body);
  void take_pieces();
  void work();
  void lead_on_own_thread();
  void wake(size_t threads);

  Loop loop_;
  const uint64_t draws_;   // by which a thread divides what is left, to draw its next pieces
  Bed bed_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;

  // Only where lead() has a thread of its own.
  std::thread leader_;
  const std::function<void()>* led_ = nullptr;
  std::exception_ptr led_failure_;
  std::atomic<uint32_t> led_calls_{0};
  Latch led_unfinished_;
};

}  // namespace wenqu::engine::cpu
