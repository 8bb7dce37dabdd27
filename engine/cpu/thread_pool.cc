#include "engine/cpu/thread_pool.h"

#include <fmt/format.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <exception>
#include <new>
#include <utility>

#include "base/thread.h"

namespace wenqu::engine::cpu {
namespace {

// A thread looks for the next loop, or for the end of the last piece, this long before it sleeps: loops follow each
// other within microseconds while a token is computed, and waking a sleeper takes longer than that.
constexpr std::chrono::microseconds kSpin{50};
constexpr int kLooksBetweenClocks = 32;

// Pieces drawn below, pieces in all above. Each thread may draw in vain once, so the half below has room to spare.
constexpr uint64_t kDrawnBits = 32;
constexpr uint64_t kDrawnMask = (uint64_t{1} << kDrawnBits) - 1;
constexpr size_t kMaxPieces = size_t{1} << 20;

// A thread draws this part of its fair share of the pieces that are left: long runs of weights at first, and single
// pieces at the end, so that nobody has much left when the others are done.
constexpr uint64_t kDraws = 2;

constexpr uint32_t kAsleep = uint32_t{1} << 31;   // of a latch: its thread sleeps

bool pieces_left(uint64_t word) { return (word & kDrawnMask) < word >> kDrawnBits; }

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Waits until `done`, for a moment. A sleeping wait follows, not a yielding one: who yields on a busy core loses
// his turn, who sleeps gets it back when he is woken.
template <typename Done>
bool spin_until(Done done) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  for (;;) {
    for (int look = 0; look < kLooksBetweenClocks; ++look) {
      if (done()) return true;
      pause();
    }
    if (std::chrono::steady_clock::now() >= deadline) return false;
  }
}

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t) && std::atomic<uint32_t>::is_always_lock_free);

// Sleeps while the word is `value`; may wake for no reason.
void futex_wait(std::atomic<uint32_t>& word, uint32_t value) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void futex_wake(std::atomic<uint32_t>& word, size_t threads) {
  const auto count = static_cast<int>(std::min<size_t>(threads, INT_MAX));
  ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

int wanted_threads(const ThreadPoolOptions& options) {
  return std::clamp(options.threads > 0 ? options.threads : available_cores(), 1, kMaxThreads);
}

// Lowers the calling thread's priority, if it is not lower already.
void step_back(int nice) {
  if (nice > ::getpriority(PRIO_PROCESS, 0)) ::setpriority(PRIO_PROCESS, 0, nice);
}

}  // namespace

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

Status check_threads(int threads) {
  if (threads >= 0 && threads <= kMaxThreads) return {};
  return Status(StatusCode::invalid_argument,
                fmt::format("{} is not a number of threads: 1 to {}, or 0 for one per core", threads, kMaxThreads), "threads");
}

Status check_nice(int nice) {
  if (nice >= 0 && nice <= kLowestPriority) return {};
  return Status(StatusCode::invalid_argument,
                fmt::format("{} is no priority to step back to: 0 (the caller's own) to {}", nice, kLowestPriority), "nice");
}

ThreadPool::ThreadPool(const ThreadPoolOptions& options)
    : draws_(kDraws * static_cast<uint64_t>(wanted_threads(options))) {
  const int wanted = wanted_threads(options);
  const int nice = std::clamp(options.nice, 0, kLowestPriority);
  workers_.reserve(static_cast<size_t>(wanted));
  try {
    if (nice > 0)
      leader_ = start_thread([this, nice] {
        step_back(nice);
        lead_on_own_thread();
      });
    for (int i = 1; i < wanted; ++i)
      workers_.push_back(start_thread([this, nice] {
        step_back(nice);
        work();
      }));
  } catch (const std::exception&) {
    // The system gives no more threads, or no memory for one: those there are do the work.
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  bed_.calls.fetch_add(1);
  futex_wake(bed_.calls, workers_.size());
  for (std::thread& worker : workers_) worker.join();
  if (!leader_.joinable()) return;
  led_calls_.fetch_add(1);
  futex_wake(led_calls_, 1);
  leader_.join();
}

void ThreadPool::Latch::arrive(uint32_t count) {
  const uint32_t before = missing.fetch_sub(count, std::memory_order_acq_rel);
  if (before == (count | kAsleep)) futex_wake(missing, 1);
}

void ThreadPool::Latch::wait() {
  const auto over = [&] { return (missing.load(std::memory_order_acquire) & ~kAsleep) == 0; };
  if (spin_until(over)) return;
  // Sleeps on the very value that was not the end: a value read anew may be the end, whose waker has gone.
  for (uint32_t seen = missing.fetch_or(kAsleep, std::memory_order_acq_rel) | kAsleep; (seen & ~kAsleep) != 0;
       seen = missing.load(std::memory_order_acquire))
    futex_wait(missing, seen);
}

bool ThreadPool::Loop::has_work() const { return pieces_left(draw.load(std::memory_order_seq_cst)); }

// Does pieces until none is left, and reports them all at the end.
void ThreadPool::take_pieces() {
  uint32_t done = 0;
  for (;;) {
    const uint64_t seen = loop_.draw.load(std::memory_order_relaxed);
    if (!pieces_left(seen)) break;
    const uint64_t left = (seen >> kDrawnBits) - (seen & kDrawnMask);
    const uint64_t wanted = std::max<uint64_t>(left / draws_, 1);
    const uint64_t drawn = loop_.draw.fetch_add(wanted, std::memory_order_acq_rel);
    if (!pieces_left(drawn)) break;
    const uint64_t last = std::min((drawn & kDrawnMask) + wanted, drawn >> kDrawnBits);
    for (uint64_t piece = drawn & kDrawnMask; piece < last; ++piece, ++done) {
      const size_t begin = piece * loop_.grain;
      const size_t end = std::min(begin + loop_.grain, loop_.count);
      try {
        (*loop_.body)(loop_.first + begin, loop_.first + end);
      } catch (...) {
        loop_.failed.store(true, std::memory_order_relaxed);
      }
    }
  }
  if (done > 0) loop_.unfinished.arrive(done);
}

void ThreadPool::run(size_t count, size_t grain, const Body& body) {
  grain = std::max<size_t>(grain, 1);
  if (workers_.empty() || count <= grain) {
    for (size_t begin = 0; begin < count; begin += grain) body(begin, std::min(begin + grain, count));
    return;
  }
  const size_t most = count / grain >= kMaxPieces ? kMaxPieces * grain : count;
  for (size_t first = 0; first < count; first += most) share(first, std::min(most, count - first), grain, body);
}

void ThreadPool::share(size_t first, size_t count, size_t grain, const Body& body) {
  const size_t pieces = (count + grain - 1) / grain;
  loop_.body = &body;
  loop_.count = count, loop_.grain = grain, loop_.first = first;
  loop_.failed.store(false, std::memory_order_relaxed);
  loop_.unfinished.missing.store(static_cast<uint32_t>(pieces), std::memory_order_relaxed);
  loop_.draw.store(static_cast<uint64_t>(pieces) << kDrawnBits, std::memory_order_seq_cst);
  wake(pieces - 1);
  take_pieces();
  loop_.unfinished.wait();
  if (loop_.failed.load(std::memory_order_relaxed)) throw std::bad_alloc();
}

// Sees to it that `threads` of the workers are awake, or all. A worker that goes to sleep meanwhile has said so
// before its last look at the loop, which either shows it the loop or us the sleeper.
void ThreadPool::wake(size_t threads) {
  const size_t asleep = bed_.asleep.load(std::memory_order_seq_cst);
  const size_t awake = workers_.size() - asleep;
  if (asleep == 0 || threads <= awake) return;
  bed_.calls.fetch_add(1, std::memory_order_release);
  futex_wake(bed_.calls, threads - awake);
}

void ThreadPool::work() {
  const auto called = [&] { return loop_.has_work() || stopping_.load(std::memory_order_relaxed); };
  while (!stopping_.load(std::memory_order_relaxed)) {
    take_pieces();
    if (spin_until(called)) continue;
    const uint32_t calls = bed_.calls.load(std::memory_order_acquire);
    bed_.asleep.fetch_add(1, std::memory_order_seq_cst);
    if (!loop_.has_work() && !stopping_.load(std::memory_order_seq_cst)) futex_wait(bed_.calls, calls);
    bed_.asleep.fetch_sub(1, std::memory_order_relaxed);
  }
}

void ThreadPool::lead(const std::function<void()>& work) {
  if (!leader_.joinable() || std::this_thread::get_id() == leader_.get_id()) return work();
  led_ = &work;
  led_failure_ = nullptr;
  led_unfinished_.missing.store(1, std::memory_order_relaxed);
  led_calls_.fetch_add(1, std::memory_order_release);
  futex_wake(led_calls_, 1);
  led_unfinished_.wait();
  if (led_failure_) std::rethrow_exception(std::exchange(led_failure_, nullptr));
}

void ThreadPool::lead_on_own_thread() {
  for (uint32_t seen = 0;; ++seen) {
    while (led_calls_.load(std::memory_order_acquire) == seen) futex_wait(led_calls_, seen);
    if (stopping_.load()) return;
    try {
      (*led_)();
    } catch (...) {
      led_failure_ = std::current_exception();
    }
    led_unfinished_.arrive(1);
  }
}

}  // namespace wenqu::engine::cpu
