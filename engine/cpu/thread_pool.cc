#include "engine/cpu/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <system_error>

namespace wenqu::engine::cpu {
namespace {

// A worker looks for the next loop this long before it sleeps: loops follow each other within
// microseconds while a token is computed, and waking a sleeper takes longer than that.
constexpr std::chrono::microseconds kSpin{50};
constexpr int kMaxThreads = 256;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Waits until `done`, busily for a moment, then giving the core away between looks.
template <typename Done>
bool spin_until(Done done) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  for (int round = 1;; ++round) {
    if (done()) return true;
    pause();
    if (round % 64 == 0) {
      if (std::chrono::steady_clock::now() >= deadline) return false;
      std::this_thread::yield();
    }
  }
}

}  // namespace

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

ThreadPool::ThreadPool(int threads) {
  const int wanted = std::clamp(threads > 0 ? threads : available_cores(), 1, kMaxThreads);
  workers_.reserve(static_cast<size_t>(wanted));
  try {
    for (int i = 1; i < wanted; ++i) workers_.emplace_back([this] { work(); });
  } catch (const std::system_error&) {
    // The system gives no more threads: those there are do the work.
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::take_pieces(Loop& loop) {
  for (;;) {
    const size_t begin = loop.next.fetch_add(loop.grain, std::memory_order_relaxed);
    if (begin >= loop.count) return;
    const size_t end = std::min(begin + loop.grain, loop.count);
    try {
      (*loop.body)(begin, end);
    } catch (...) {
      loop.failed.store(true, std::memory_order_relaxed);
    }
    loop.finished.fetch_add(end - begin, std::memory_order_release);
  }
}

void ThreadPool::run(size_t count, size_t grain, const Body& body) {
  if (count == 0) return;
  grain = std::max<size_t>(grain, 1);
  if (workers_.empty() || count <= grain) {
    for (size_t begin = 0; begin < count; begin += grain) body(begin, std::min(begin + grain, count));
    return;
  }
  const auto loop = std::make_shared<Loop>();
  loop->body = &body;
  loop->count = count;
  loop->grain = grain;
  {
    const std::lock_guard lock(mutex_);
    loop_ = loop;
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  take_pieces(*loop);
  const auto over = [&] { return loop->finished.load(std::memory_order_acquire) == count; };
  // Another thread is still at its last piece; if it was put aside, its core is worth more than our looks.
  while (!spin_until(over)) std::this_thread::yield();
  if (loop->failed.load(std::memory_order_relaxed)) throw std::bad_alloc();
}

void ThreadPool::work() {
  uint64_t seen = 0;
  for (;;) {
    const auto called = [&] {
      return generation_.load(std::memory_order_acquire) != seen || stopping_.load(std::memory_order_relaxed);
    };
    const bool soon = spin_until(called);
    std::shared_ptr<Loop> loop;
    {
      std::unique_lock lock(mutex_);
      if (!soon) wake_.wait(lock, called);
      if (stopping_.load(std::memory_order_relaxed)) return;
      seen = generation_.load(std::memory_order_relaxed);
      loop = loop_;
    }
    take_pieces(*loop);
  }
}

}  // namespace wenqu::engine::cpu
