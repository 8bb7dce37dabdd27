#include "sdk/capi/event_queue.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

namespace wenqu::capi {

EventQueue::~EventQueue() {
  if (fd_ >= 0) ::close(fd_);
}

Status EventQueue::open() {
  fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd_ < 0) return Status(StatusCode::io_error, std::string("cannot make an eventfd: ") + std::strerror(errno));
  return {};
}

void EventQueue::push(std::string event) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return events_.size() < kMaxEvents || let_go_; });
  events_.push_back(std::move(event));
  if (events_.size() == 1) ::eventfd_write(fd_, 1);
  changed_.notify_all();
}

void EventQueue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  // Stays readable from now on, so that a main loop comes to see the end.
  ::eventfd_write(fd_, 1);
  changed_.notify_all();
}

void EventQueue::let_go() {
  const std::lock_guard lock(mutex_);
  let_go_ = true;
  changed_.notify_all();
}

Result<std::string> EventQueue::next(int32_t timeout_ms) {
  std::unique_lock lock(mutex_);
  const auto ready = [&] { return !events_.empty() || closed_; };
  if (timeout_ms < 0)
    changed_.wait(lock, ready);
  else if (!changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), ready))
    return Status(StatusCode::timeout, "no event came within the given time");
  if (events_.empty()) return Status(StatusCode::end_of_stream, "the final event has been taken");
  std::string event = std::move(events_.front());
  events_.pop_front();
  if (events_.empty() && !closed_) {
    eventfd_t drained;
    ::eventfd_read(fd_, &drained);
  }
  changed_.notify_all();
  return event;
}

}  // namespace wenqu::capi
