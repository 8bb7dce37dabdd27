#include "sdk/net/outbox.h"

namespace wenqu::net {

bool Outbox::push(std::string message, std::chrono::milliseconds patience, size_t beyond) {
  bool in_time = true;
  {
    std::unique_lock lock(mutex_);
    in_time = room_.wait_for(lock, patience, [&] {
      return closed_ || bytes_ == 0 || bytes_ + message.size() <= max_bytes_ + beyond;
    });
    if (closed_) return false;
    if (in_time) {
      const bool writer_will_look = taken_ || !queue_.empty();
      bytes_ += message.size();
      queue_.push_back(std::move(message));
      if (writer_will_look) return true;
    } else {
      closed_ = overdue_ = true;
      queue_.clear();
    }
  }
  if (!in_time) room_.notify_all();
  wake_();
  return in_time;
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

void Outbox::release() {
  {
    std::lock_guard lock(mutex_);
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
