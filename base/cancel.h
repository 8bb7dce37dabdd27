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

  bool cancelled() const {
    for (const State* state = state_.get(); state; state = state->parent.get())
      if (state->flag.load(std::memory_order_relaxed) || state->late()) return true;
    return false;
  }

  // ok, `cancelled` or `deadline_exceeded`.
  Status status() const {
    bool late = false;
    for (const State* state = state_.get(); state; state = state->parent.get()) {
      if (state->flag.load(std::memory_order_relaxed))
        return Status(StatusCode::cancelled, "the request was cancelled");
      late = late || state->late();
    }
    if (late) return Status(StatusCode::deadline_exceeded, "the time budget of the request ran out");
    return {};
  }

 private:
  friend class CancelSource;
  struct State {
    std::atomic<bool> flag{false};
    std::optional<std::chrono::steady_clock::time_point> deadline;
    std::shared_ptr<const State> parent;
    bool late() const { return deadline && std::chrono::steady_clock::now() >= *deadline; }
  };
  explicit CancelToken(std::shared_ptr<const State> state) : state_(std::move(state)) {}

  std::shared_ptr<const State> state_;
};

class CancelSource {
 public:
  CancelSource() : state_(std::make_shared<CancelToken::State>()) {}
  // Is cancelled with `parent` too, and by itself at `deadline`, if there is one.
  CancelSource(const CancelToken& parent, std::optional<std::chrono::steady_clock::time_point> deadline)
      : CancelSource() {
    state_->parent = parent.state_;
    state_->deadline = deadline;
  }

  void cancel() { state_->flag.store(true, std::memory_order_relaxed); }
  CancelToken token() const { return CancelToken(state_); }

 private:
  std::shared_ptr<CancelToken::State> state_;
};

}  // namespace wenqu
