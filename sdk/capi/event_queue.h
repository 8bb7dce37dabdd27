// Events on their way from the thread that answers to a host that pulls them: bounded, in order, with
// a descriptor that is readable while something waits.
//
// Thread safety: one pushing thread; any number of others.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>

#include "base/status.h"

namespace wenqu::capi {

class EventQueue {
 public:
  EventQueue() = default;
  ~EventQueue();
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;

  // Makes the descriptor. Errors: io_error.
  Status open();
  int fd() const { return fd_; }

  // Waits while the queue is full, unless it has been let go.
  void push(std::string event);
  void close();     // no further event comes
  void let_go();    // nobody may be pulling any more: push never waits again

  // Errors: timeout, end_of_stream. Negative: for ever.
  Result<std::string> next(int32_t timeout_ms);

 private:
  static constexpr size_t kMaxEvents = 1024;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> events_;
  bool closed_ = false;
  bool let_go_ = false;
  int fd_ = -1;          // an eventfd, above 0 while next() would not wait
};

}  // namespace wenqu::capi
