// What one connection has still to send: a FIFO of messages, bounded in bytes. The workers that fill
// it wait while the client reads too slowly, so a slow client slows its own answers and costs no
// more memory; one that takes nothing at all is given up.
//
// Thread safety: all members may be called from any thread. take(), progress() and release() are for
// the one thread that writes, which has one message in flight at most.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

namespace wenqu::net {

class Outbox {
 public:
  // `wake` is called, with no lock held, when there is something to take or the outbox was closed. It must not throw.
  Outbox(size_t max_bytes, std::function<void()> wake) : max_bytes_(max_bytes), wake_(std::move(wake)) {}

  // Waits for room while the client takes something in every `patience`. A message larger than the bound is taken when nothing else
  // waits; `beyond`: so many bytes more than the bound may be queued with it. False: the outbox is closed, perhaps because nothing
  // was taken in time.
  bool push(std::string message, std::chrono::milliseconds patience, size_t beyond = 0);
  // Never waits. False: there is no room, and the message is as it was, or the outbox is closed.
  bool try_push(std::string& message);

  // The oldest message. Its bytes count until release().
  std::optional<std::string> take();
  void progress();   // the client took some bytes of it
  void release();

  // Drops what is queued; every push from now on, and those that wait, return false.
  void close();
  bool closed() const;
  bool overdue() const;   // closed because room did not come in time
  bool empty() const;     // nothing queued, nothing in flight

 private:
  bool fits(size_t bytes, size_t beyond) const { return bytes_ == 0 || bytes_ + bytes <= max_bytes_ + beyond; }
  bool queue(std::string message);

  const size_t max_bytes_;
  const std::function<void()> wake_;
  mutable std::mutex mutex_;
  std::condition_variable room_;
  std::deque<std::string> queue_;
  size_t bytes_ = 0;         // queued and in flight
  size_t in_flight_ = 0;
  std::chrono::steady_clock::time_point last_progress_;
  bool taken_ = false;
  bool closed_ = false;
  bool overdue_ = false;
};

}  // namespace wenqu::net
