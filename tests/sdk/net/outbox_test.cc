#include "sdk/net/outbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace wenqu::net {
namespace {

constexpr std::chrono::milliseconds kNever{0}, kLong{20'000};

TEST(Outbox, GivesMessagesInTheOrderTheyCame) {
  Outbox outbox(100, [] {});
  EXPECT_TRUE(outbox.push("one", kNever));
  EXPECT_TRUE(outbox.push("two", kNever));
  EXPECT_EQ(outbox.take(), "one");
  outbox.release();
  EXPECT_EQ(outbox.take(), "two");
  EXPECT_FALSE(outbox.empty());
  outbox.release();
  EXPECT_TRUE(outbox.empty());
}

TEST(Outbox, HasOneMessageInFlightAtMost) {
  Outbox outbox(100, [] {});
  outbox.push("one", kNever);
  outbox.push("two", kNever);
  EXPECT_EQ(outbox.take(), "one");
  EXPECT_EQ(outbox.take(), std::nullopt);
}

TEST(Outbox, WakesTheWriterOnlyWhenItSleeps) {
  int wakes = 0;
  Outbox outbox(100, [&] { ++wakes; });
  outbox.push("one", kNever);
  outbox.push("two", kNever);
  EXPECT_EQ(wakes, 1);
  outbox.take();
  outbox.push("three", kNever);
  EXPECT_EQ(wakes, 1);
  outbox.release();
  outbox.take();
  outbox.release();
  outbox.take();
  outbox.release();
  outbox.push("four", kNever);
  EXPECT_EQ(wakes, 2);
}

TEST(Outbox, WithoutRoomInTimeItCloses) {
  int wakes = 0;
  Outbox outbox(10, [&] { ++wakes; });
  EXPECT_TRUE(outbox.push("0123456789", kNever));
  EXPECT_FALSE(outbox.push("x", std::chrono::milliseconds(1)));
  EXPECT_TRUE(outbox.closed());
  EXPECT_TRUE(outbox.overdue());
  EXPECT_EQ(wakes, 2);
  EXPECT_EQ(outbox.take(), std::nullopt);
  EXPECT_FALSE(outbox.push("y", kLong));
}

TEST(Outbox, BytesInFlightTakeRoom) {
  Outbox outbox(10, [] {});
  outbox.push("0123456789", kNever);
  outbox.take();
  EXPECT_FALSE(outbox.push("x", kNever));
}

TEST(Outbox, AMessageLargerThanTheBoundGoesWhenNothingElseWaits) {
  Outbox outbox(4, [] {});
  EXPECT_TRUE(outbox.push("0123456789", kNever));
  outbox.take();
  outbox.release();
  EXPECT_TRUE(outbox.push("0123456789", kNever));
}

TEST(Outbox, SomeMessagesMayGoBeyondTheBoundForABit) {
  Outbox outbox(10, [] {});
  EXPECT_TRUE(outbox.push("0123456789", kNever));
  EXPECT_TRUE(outbox.push("an error", kNever, 20));
  EXPECT_TRUE(outbox.push("an error", kNever, 20));
  EXPECT_FALSE(outbox.push("an error", kNever, 20));
  EXPECT_TRUE(outbox.overdue());
}

TEST(Outbox, PushWaitsForRoom) {
  Outbox outbox(10, [] {});
  outbox.push("0123456789", kNever);
  outbox.take();
  std::thread writer([&] { outbox.release(); });
  EXPECT_TRUE(outbox.push("next", kLong));
  writer.join();
  EXPECT_EQ(outbox.take(), "next");
}

TEST(Outbox, WaitsOnWhileTheClientTakesSomething) {
  Outbox outbox(10, [] {});
  outbox.push("0123456789", kNever);
  outbox.take();
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1'500);
  std::thread writer([&] {
    while (std::chrono::steady_clock::now() < end) {
      outbox.progress();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    outbox.release();
  });
  EXPECT_TRUE(outbox.push("next", std::chrono::milliseconds(1'000)));
  EXPECT_GE(std::chrono::steady_clock::now(), end);
  writer.join();
}

TEST(Outbox, TryPushWaitsForNobody) {
  Outbox outbox(10, [] {});
  std::string message = "0123456789";
  EXPECT_TRUE(outbox.try_push(message));
  message = "next";
  EXPECT_FALSE(outbox.try_push(message));
  EXPECT_EQ(message, "next");
  EXPECT_FALSE(outbox.closed());
  EXPECT_EQ(outbox.take(), "0123456789");
  outbox.release();
  EXPECT_TRUE(outbox.try_push(message));
  outbox.close();
  EXPECT_FALSE(outbox.try_push(message));
}

TEST(Outbox, CloseWakesThoseWhoWait) {
  Outbox outbox(10, [] {});
  outbox.push("0123456789", kNever);
  std::thread closer([&] { outbox.close(); });
  EXPECT_FALSE(outbox.push("next", kLong));
  closer.join();
  EXPECT_FALSE(outbox.overdue());
}

TEST(Outbox, ManyWritersKeepWithinTheBoundAndLoseNothing) {
  constexpr int kThreads = 4, kEach = 500;
  std::atomic<bool> woken = false;
  Outbox outbox(64, [&] { woken = true; });
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) EXPECT_TRUE(outbox.push(std::to_string(t) + ":" + std::to_string(i), kLong));
    });
  std::vector<int> next(kThreads, 0);
  for (int received = 0; received < kThreads * kEach;) {
    const std::optional<std::string> message = outbox.take();
    if (!message) {
      std::this_thread::yield();
      continue;
    }
    const int thread = message->at(0) - '0';
    EXPECT_EQ(message->substr(2), std::to_string(next[thread]++));
    outbox.release();
    ++received;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(woken);
  EXPECT_TRUE(outbox.empty());
}

}  // namespace
}  // namespace wenqu::net
