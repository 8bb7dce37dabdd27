#include "engine/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <new>

namespace wenqu::engine::cpu {
namespace {

TEST(ThreadPool, DoesEveryPieceOnce) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (size_t count : {0, 1, 7, 64, 1000})
      for (size_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> touched(count);
        pool.run(count, grain, [&](size_t begin, size_t end) {
          for (size_t i = begin; i < end; ++i) ++touched[i];
        });
        for (auto& times : touched) ASSERT_EQ(times, 1);
      }
  }
}

TEST(ThreadPool, ManySmallLoopsInARowStayApart) {
  ThreadPool pool(3);
  for (int round = 0; round < 20000; ++round) {
    std::atomic<size_t> sum{0};
    pool.run(8, 1, [&](size_t begin, size_t) { sum += begin + 1; });
    ASSERT_EQ(sum, 36u);
  }
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

}  // namespace
}  // namespace wenqu::engine::cpu
