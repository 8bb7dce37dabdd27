#include "sdk/net/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace wenqu::net {
namespace {

TEST(WorkerPool, RunsJobs) {
  WorkerPool pool(2, 4);
  ASSERT_TRUE(pool.start());
  std::promise<int> done;
  ASSERT_TRUE(pool.submit([&] { done.set_value(7); }));
  EXPECT_EQ(done.get_future().get(), 7);
}

TEST(WorkerPool, RefusesMoreThanMayWait) {
  std::promise<void> begun, gate;
  std::shared_future<void> open = gate.get_future().share();
  WorkerPool pool(1, 2);   // ends before what its jobs use
  ASSERT_TRUE(pool.start());
  ASSERT_TRUE(pool.submit([&] {
    begun.set_value();
    open.wait();
  }));
  begun.get_future().wait();
  EXPECT_TRUE(pool.submit([] {}));
  EXPECT_TRUE(pool.submit([] {}));
  const Status full = pool.submit([] {});
  EXPECT_EQ(full.code(), StatusCode::busy);
  EXPECT_NE(full.message().find("later"), std::string::npos);
  pool.succeed([] {});   // has its place already
  gate.set_value();
}

TEST(WorkerPool, StopDropsWhatWaitsAndJoinsWhatRuns) {
  std::atomic<int> ran = 0;
  std::promise<void> begun, gate;
  WorkerPool pool(1, 8);
  ASSERT_TRUE(pool.start());
  ASSERT_TRUE(pool.submit([&] {
    begun.set_value();
    gate.get_future().wait();
    ++ran;
  }));
  begun.get_future().wait();
  auto dropped = std::make_shared<int>(0);
  ASSERT_TRUE(pool.submit([&ran, dropped] { ran += 100; }));
  EXPECT_EQ(dropped.use_count(), 2);
  std::thread opener([&] {
    while (dropped.use_count() > 1) std::this_thread::yield();   // stop() has dropped the waiting job
    gate.set_value();
  });
  pool.stop();
  opener.join();
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(pool.submit([] {}).code(), StatusCode::busy);
}

}  // namespace
}  // namespace wenqu::net
