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

void ThreadPool::take_pieces() {
  for (;;) {
    const size_t begin = next_.fetch_add(grain_, std::memory_order_relaxed);
    if (begin >= count_) return;
    try {
      (*body_)(begin, std::min(begin + grain_, count_));
    } catch (...) {
      failed_.store(true, std::memory_order_relaxed);
    }
  }
}

void ThreadPool::run(size_t count, size_t grain, const Body& body) {
  if (count == 0) return;
  grain = std::max<size_t>(grain, 1);
  if (workers_.empty() || count <= grain) {
    for (size_t begin = 0; begin < count; begin += grain) body(begin, std::min(begin + grain, count));
    return;
  }
  body_ = &body;
  count_ = count;
  grain_ = grain;
  next_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  take_pieces();
  const auto idle = [this] { return busy_.load(std::memory_order_acquire) == 0; };
  // A worker that was put aside in the middle of a piece: its core is worth more than this thread's looks.
  while (!spin_until(idle)) std::this_thread::yield();
  if (failed_.exchange(false, std::memory_order_relaxed)) throw std::bad_alloc();
}

void ThreadPool::work() {
  uint64_t seen = 0;
  for (;;) {
    const auto called = [&] {
      return generation_.load(std::memory_order_acquire) != seen || stopping_.load(std::memory_order_relaxed);
    };
    if (!spin_until(called)) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, called);
    }
    if (stopping_.load(std::memory_order_relaxed)) return;
    seen = generation_.load(std::memory_order_acquire);
    take_pieces();
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace wenqu::engine::cpu
