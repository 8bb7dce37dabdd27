#include "sdk/net/outbox.h"

#include <algorithm>

namespace wenqu::net {

bool Outbox::push(std::string message, std::chrono::milliseconds patience, size_t beyond) {
  bool in_time = true;
  {
    std::unique_lock lock(mutex_);
    const auto begun = std::chrono::steady_clock::now();
    while (in_time && !closed_ && !fits(message.size(), beyond)) {
      const auto end = std::max(begun, last_progress_) + patience;
      in_time = std::chrono::steady_clock::now() < end;
      if (in_time) room_.wait_until(lock, end);
    }
    if (closed_) return false;
    if (in_time) {
      if (!queue(std::move(message))) return true;
    } else {
      closed_ = overdue_ = true;
      queue_.clear();
    }
  }
  if (!in_time) room_.notify_all();
  wake_();
  return in_time;
}

bool Outbox::try_push(std::string& message) {
  {
    std::lock_guard lock(mutex_);
    if (closed_ || !fits(message.size(), 0)) return false;
    if (!queue(std::move(message))) return true;
  }
  wake_();
  return true;
}

// Whether the writer must be woken for it: otherwise it looks by itself.
bool Outbox::queue(std::string message) {
  const bool writer_will_look = taken_ || !queue_.empty();
  const size_t bytes = message.size();
  queue_.push_back(std::move(message));   // may find no memory: counted behind
  bytes_ += bytes;
  return !writer_will_look;
}

std::optional<std::string> Outbox::take() {
  std::lock_guard lock(mutex_);
  if (closed_ || taken_ || queue_.empty()) return std::nullopt;
  std::optional<std::string> message(std::move(queue_.front()));
  queue_.pop_front();
  taken_ = true;
  in_flight_ = message->size();
  return message;
}

void Outbox::progress() {
  std::lock_guard lock(mutex_);
  last_progress_ = std::chrono::steady_clock::now();
}

void Outbox::release() {
  {
    std::lock_guard lock(mutex_);
    last_progress_ = std::chrono::steady_clock::now();
    taken_ = false;
    bytes_ -= in_flight_;
    in_flight_ = 0;
  }
  room_.notify_all();
}

void Outbox::close() {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
    queue_.clear();
  }
  room_.notify_all();
  wake_();
}

bool Outbox::closed() const {
  std::lock_guard lock(mutex_);
  return closed_;
}

bool Outbox::overdue() const {
  std::lock_guard lock(mutex_);
  return overdue_;
}

bool Outbox::empty() const {
  std::lock_guard lock(mutex_);
  return queue_.empty() && !taken_;
}

}  // namespace wenqu::net
