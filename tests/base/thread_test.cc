#include "base/thread.h"

#include <gtest/gtest.h>

#include <set>

namespace wenqu {
namespace {

std::set<int> blocked_signals() {
  sigset_t mask;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  std::set<int> blocked;
  for (int signal = 1; signal < NSIG; ++signal)
    if (sigismember(&mask, signal) == 1) blocked.insert(signal);
  return blocked;
}

template <typename Thread>
std::set<int> blocked_in_a_thread() {
  std::set<int> blocked;
  Thread thread = start_thread<Thread>([&] { blocked = blocked_signals(); });
  thread.join();
  return blocked;
}

TEST(StartedThread, LeavesTheProcessItsSignals) {
  for (const std::set<int>& blocked : {blocked_in_a_thread<std::thread>(), blocked_in_a_thread<std::jthread>()})
    for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGALRM, SIGCHLD, SIGUSR1, SIGUSR2, SIGPROF, SIGRTMIN})
      EXPECT_TRUE(blocked.contains(signal)) << signal;
}

TEST(StartedThread, KeepsTheSignalsOfItsOwnFaults) {
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) EXPECT_FALSE(blocked_in_a_thread<std::thread>().contains(signal)) << signal;
}

TEST(StartedThread, LeavesTheCallersSignalsAsTheyWere) {
  sigset_t one, before;
  sigemptyset(&one);
  sigaddset(&one, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &one, &before);
  const std::set<int> blocked = blocked_signals();
  start_thread([] {}).join();
  EXPECT_EQ(blocked_signals(), blocked);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace
}  // namespace wenqu
