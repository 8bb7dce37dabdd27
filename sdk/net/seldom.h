// Keeps lines of the log that may come very often down to one now and then.
//
// Thread safety: none.
#pragma once

#include <chrono>
#include <optional>
#include <utility>

namespace wenqu::net {

class Seldom {
 public:
  explicit Seldom(std::chrono::milliseconds pause) : pause_(pause) {}

  // Nothing: `pause` has not passed since the last line, so this one is kept back. Otherwise it may go, and so many were kept back
  // since the last.
  std::optional<size_t> may_go(std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now()) {
    if (next_ && now < *next_) {
      ++kept_back_;
      return std::nullopt;
    }
    next_ = now + pause_;
    return std::exchange(kept_back_, 0);
  }

 private:
  const std::chrono::milliseconds pause_;
  std::optional<std::chrono::steady_clock::time_point> next_;
  size_t kept_back_ = 0;
};

}  // namespace wenqu::net
