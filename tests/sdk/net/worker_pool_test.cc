#include "sdk/net/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <new>
#include <string>

namespace wenqu::net {
namespace {

TEST(WorkerPool, RunsJobs) {
  WorkerPool pool(2, 4);
  ASSERT_TRUE(pool.start());
  std::promise<int> done;
  ASSERT_TRUE(pool.submit([&] { done.set_value(7); }));
  EXPECT_EQ(done.get_future().get(), 7);
}

TEST(WorkerPool, AJobThatThrowsCostsNoThread) {
  WorkerPool pool(1, 4);
  ASSERT_TRUE(pool.start());
  ASSERT_TRUE(pool.submit([] { throw std::bad_alloc(); }));
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

TEST(WorkerPool, ServesClientsInTurn) {
  const int a = 0, b = 0;   // by their addresses
  std::promise<void> begun, gate, done;
  std::string order;
  WorkerPool pool(1, 8);
  ASSERT_TRUE(pool.start());
  ASSERT_TRUE(pool.submit([&] {
    begun.set_value();
    gate.get_future().wait();
  }));
  begun.get_future().wait();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(pool.submit([&] { order += 'a'; }, &a));
  ASSERT_TRUE(pool.submit([&] { order += 'b'; }, &b));
  ASSERT_TRUE(pool.submit([&] { order += 'b'; }, &b));
  ASSERT_TRUE(pool.submit([&] { done.set_value(); }, &a));
  gate.set_value();
  done.get_future().wait();
  EXPECT_EQ(order, "ababa");
}

TEST(WorkerPool, ADroppedJobGivesUpItsPlace) {
  const int first = 0, second = 0;
  std::promise<void> begun, gate;
  std::atomic<bool> ran = false;
  WorkerPool pool(1, 1);
  ASSERT_TRUE(pool.start());
  ASSERT_TRUE(pool.submit([&] {
    begun.set_value();
    gate.get_future().wait();
  }));
  begun.get_future().wait();
  ASSERT_TRUE(pool.submit([&] { ran = true; }, nullptr, &first));
  EXPECT_FALSE(pool.submit([] {}, nullptr, &second));
  EXPECT_FALSE(pool.drop(&second));
  EXPECT_TRUE(pool.drop(&first));
  EXPECT_FALSE(pool.drop(&first));
  std::promise<void> done;
  EXPECT_TRUE(pool.submit([&] { done.set_value(); }, nullptr, &second));
  gate.set_value();
  done.get_future().wait();
  EXPECT_FALSE(ran);
}

TEST(WorkerPool, OtherClientsAreServedWhileAJobStandsAside) {
  const int slow = 0, other = 0;
  std::promise<void> served, done;
  std::atomic<bool> next_of_slow = false, too_early = false;
  WorkerPool pool(1, 8, 1);
  ASSERT_TRUE(pool.start());
  ASSERT_TRUE(pool.submit([&] {
    const WorkerPool::Aside aside(pool, &slow);
    EXPECT_TRUE(aside.granted());
    EXPECT_FALSE(WorkerPool::Aside(pool, &slow).granted());   // no more than one may
    served.get_future().wait();
    too_early = next_of_slow.load();
  }, &slow));
  ASSERT_TRUE(pool.submit([&] {
    next_of_slow = true;
    done.set_value();
  }, &slow));
  ASSERT_TRUE(pool.submit([&] { served.set_value(); }, &other));
  done.get_future().wait();
  EXPECT_FALSE(too_early);
}

TEST(WorkerPool, WhatWaitedForAJobToStepBackBeginsAtOnceWhereThereIsRoom) {
  constexpr auto kLong = std::chrono::seconds(20);
  const int client = 0;
  std::promise<void> aside, queued, all_begun;
  std::shared_future<void> begun = all_begun.get_future().share();
  std::atomic<int> count = 0;
  WorkerPool pool(3, 8, 1);
  ASSERT_TRUE(pool.start());
  ASSERT_TRUE(pool.submit([&] {
    {
      const WorkerPool::Aside waits(pool, &client);
      aside.set_value();
      queued.get_future().wait();
    }
    EXPECT_EQ(begun.wait_for(kLong), std::future_status::ready);   // it has its own thread meanwhile
  }, &client));
  aside.get_future().wait();
  for (int i = 0; i < 2; ++i)
    ASSERT_TRUE(pool.submit([&] {
      if (++count == 2) all_begun.set_value();
      begun.wait_for(kLong);
    }, &client));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));   // the threads have looked, and wait
  queued.set_value();
  begun.wait_for(kLong);
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
