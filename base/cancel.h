// One cancellation token goes down the whole road of a question; every loop that can take long
// looks at it: each passage, each layer of a prefill chunk, each decoded token.
//
// Thread safety: all members may be called from any thread at any time.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>

#include "base/status.h"

namespace wenqu {

class CancelToken {
 public:
  CancelToken() = default;  // never cancelled

  bool cancelled() const { return state_ && (state_->flag.load(std::memory_order_relaxed) || late()); }

  // ok, `cancelled` or `deadline_exceeded`.
  Status status() const {
    if (!state_) return {};
    if (state_->flag.load(std::memory_order_relaxed))
      return Status(StatusCode::cancelled, "the request was cancelled");
    if (late()) return Status(StatusCode::deadline_exceeded, "the time budget of the request ran out");
    return {};
  }

 private:
  friend class CancelSource;
  struct State {
    std::atomic<bool> flag{false};
    std::optional<std::chrono::steady_clock::time_point> deadline;
  };
  explicit CancelToken(std::shared_ptr<State> state) : state_(std::move(state)) {}
  bool late() const { return state_->deadline && std::chrono::steady_clock::now() >= *state_->deadline; }

  std::shared_ptr<State> state_;
};

class CancelSource {
 public:
  CancelSource() : state_(std::make_shared<CancelToken::State>()) {}
  // Cancels by itself at `deadline`.
  explicit CancelSource(std::chrono::steady_clock::time_point deadline) : CancelSource() {
    state_->deadline = deadline;
  }

  void cancel() { state_->flag.store(true, std::memory_order_relaxed); }
  CancelToken token() const { return CancelToken(state_); }

 private:
  std::shared_ptr<CancelToken::State> state_;
};

}  // namespace wenqu
