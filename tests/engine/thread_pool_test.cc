#include "engine/cpu/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <time.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <stdexcept>

namespace wenqu::engine::cpu {
namespace {

void sleep_ms(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

// Runs a loop of one piece for each thread, in which all of them meet: nobody gets further before all are there.
void meet(ThreadPool& pool, const std::function<void()>& then = {}) {
  const size_t threads = static_cast<size_t>(pool.threads());
  std::atomic<size_t> here{0};
  pool.run(threads, 1, [&](size_t, size_t) {
    ++here;
    while (here < threads) std::this_thread::yield();
    if (then) then();
  });
}

TEST(ThreadPool, DoesEveryPieceOnce) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (size_t count : {0, 1, 7, 64, 1000})
      for (size_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> touched(count);
        pool.run(count, grain, [&](size_t begin, size_t end) {
          EXPECT_LE(end - begin, grain);
          for (size_t i = begin; i < end; ++i) ++touched[i];
        });
        for (auto& times : touched) ASSERT_EQ(times, 1);
      }
  }
}

TEST(ThreadPool, MorePiecesThanOneLoopHoldsAreAllDone) {
  ThreadPool pool(2);
  constexpr size_t kCount = (size_t{1} << 21) + 5;
  std::atomic<uint64_t> sum{0};
  pool.run(kCount, 1, [&](size_t begin, size_t) { sum.fetch_add(begin, std::memory_order_relaxed); });
  EXPECT_EQ(sum, uint64_t{kCount} * (kCount - 1) / 2);
}

TEST(ThreadPool, ManySmallLoopsInARowStayApart) {
  ThreadPool pool(3);
  for (int round = 0; round < 20000; ++round) {
    std::atomic<size_t> sum{0};
    pool.run(8, 1, [&](size_t begin, size_t) { sum += begin + 1; });
    ASSERT_EQ(sum, 36u);
  }
}

TEST(ThreadPool, NobodyComesTooLateToALoopThatIsGone) {
  ThreadPool pool(8);   // more than run at once: some are late for every loop
  for (size_t round = 0; round < 2000; ++round) {
    const size_t count = 1 + round % 37;
    auto touched = std::make_unique<std::vector<std::atomic<int>>>(count);
    ThreadPool::Body body = [&touched](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) ++(*touched)[i];
    };
    pool.run(count, 1 + round % 3, body);
    for (auto& times : *touched) ASSERT_EQ(times, 1);
    body = nullptr, touched.reset();
  }
}

TEST(ThreadPool, ThreadsThatSleepAreWokenForALoop) {
  ThreadPool pool(3);
  for (int round = 0; round < 30; ++round) {
    sleep_ms(round % 3);
    meet(pool);
  }
}

TEST(ThreadPool, TheCallerIsWokenByTheLastPieceOfAnother) {
  ThreadPool pool(2);
  const std::thread::id caller = std::this_thread::get_id();
  for (int round = 0; round < 10; ++round) {
    std::atomic<bool> done{false};
    meet(pool, [&] {
      if (std::this_thread::get_id() == caller) return;
      sleep_ms(2);   // long enough for the caller to sleep
      done = true;
    });
    ASSERT_TRUE(done);
  }
}

TEST(ThreadPool, TheCallerIsNotLeftAsleepWhenTheLastPieceEndsAsItLiesDown) {
  ThreadPool pool(2);
  const std::thread::id caller = std::this_thread::get_id();
  for (int round = 0; round < 20000; ++round) {
    std::atomic<bool> begun{false};
    pool.run(2, 1, [&](size_t, size_t) {
      if (std::this_thread::get_id() == caller) {
        while (!begun) std::this_thread::yield();
        return;
      }
      begun = true;
      // About as long as the caller looks for the end before it sleeps.
      const auto end = std::chrono::steady_clock::now() + std::chrono::nanoseconds(48000 + round % 400 * 25);
      while (std::chrono::steady_clock::now() < end) {
      }
    });
  }
}

TEST(ThreadPool, IdleThreadsTakeNoProcessorTime) {
  ThreadPool pool(4);
  meet(pool);
  const auto used = [] {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double before = used();
  sleep_ms(300);
  EXPECT_LT(used() - before, 0.1);   // one thread that spins would take 0.3
}

TEST(ThreadPool, ABodyThatThrowsFailsTheLoopAndNotTheProcess) {
  ThreadPool pool(2);
  EXPECT_THROW(pool.run(100, 1, [](size_t begin, size_t) {
    if (begin == 57) throw std::bad_alloc();
  }), std::bad_alloc);
  std::atomic<int> count{0};
  pool.run(10, 1, [&](size_t, size_t) { ++count; });
  EXPECT_EQ(count, 10);
}

TEST(ThreadPool, MoreThreadsThanCoresDoNoHarm) {
  ThreadPool pool(64);
  EXPECT_EQ(pool.threads(), 64);
  std::atomic<size_t> sum{0};
  pool.run(1000, 1, [&](size_t begin, size_t) { sum += begin; });
  EXPECT_EQ(sum, 499500u);
}

TEST(ThreadPool, NumbersOfThreadsThatCannotBeMeantAreRefused) {
  EXPECT_TRUE(check_threads(0) && check_threads(1) && check_threads(kMaxThreads));
  for (int threads : {-1, kMaxThreads + 1, INT32_MAX, INT32_MIN}) {
    const Status status = check_threads(threads);
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    EXPECT_NE(status.message().find(std::to_string(kMaxThreads)), std::string::npos);
  }
  EXPECT_TRUE(check_nice(0) && check_nice(kLowestPriority));
  for (int nice : {-1, kLowestPriority + 1}) EXPECT_EQ(check_nice(nice).code(), StatusCode::invalid_argument);
}

int own_nice() { return ::getpriority(PRIO_PROCESS, 0); }   // of the calling thread, on Linux

TEST(ThreadPool, LeadsOnTheCallingThreadWhenThePriorityIsItsOwn) {
  ThreadPool pool(2);
  std::thread::id led;
  pool.lead([&] { led = std::this_thread::get_id(); });
  EXPECT_EQ(led, std::this_thread::get_id());
  EXPECT_THROW(pool.lead([] { throw std::bad_alloc(); }), std::bad_alloc);
}

TEST(ThreadPool, AllThatComputeStepBackTogetherAndTheCallerDoesNot) {
  const int before = own_nice();
  const int lower = std::min(std::max(before, 0) + 3, kLowestPriority);   // tests may run above the usual priority
  ThreadPool pool({.threads = 3, .nice = lower});
  EXPECT_EQ(pool.threads(), 3);
  std::mutex mutex;
  std::multiset<int> nices;
  std::set<std::thread::id> threads;
  pool.lead([&] {
    meet(pool, [&] {
      const std::lock_guard lock(mutex);
      nices.insert(own_nice());
      threads.insert(std::this_thread::get_id());
    });
  });
  EXPECT_EQ(nices, (std::multiset<int>{lower, lower, lower}));
  EXPECT_EQ(threads.size(), 3u);
  EXPECT_FALSE(threads.contains(std::this_thread::get_id()));
  EXPECT_EQ(own_nice(), before);
}

TEST(ThreadPool, WhatIsLedMayLead) {
  for (const int nice : {0, kLowestPriority}) {
    ThreadPool pool({.threads = 2, .nice = nice});
    size_t sum = 0;
    pool.lead([&] {
      const std::thread::id leader = std::this_thread::get_id();
      pool.lead([&] {
        EXPECT_EQ(std::this_thread::get_id(), leader);
        pool.run(1, 1, [&](size_t, size_t end) { sum += end; });
      });
    });
    EXPECT_EQ(sum, 1u);
  }
}

TEST(ThreadPool, WhatIsLedElsewhereThrowsHereAndCanBeLedAgain) {
  ThreadPool pool({.threads = 2, .nice = kLowestPriority});
  for (int round = 0; round < 3; ++round) {
    EXPECT_THROW(pool.lead([] { throw std::runtime_error("led"); }), std::runtime_error);
    size_t sum = 0;
    sleep_ms(round);
    pool.lead([&] { pool.run(1, 1, [&](size_t, size_t end) { sum += end; }); });
    EXPECT_EQ(sum, 1u);
  }
}

}  // namespace
}  // namespace wenqu::engine::cpu
