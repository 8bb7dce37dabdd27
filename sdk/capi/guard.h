// The wall between C++ and C: every function of the ABI runs its body inside guarded(), which turns
// Status and exceptions into a wq_status and remembers the words for wq_last_error().
#pragma once

#include <exception>
#include <new>
#include <string>
#include <utility>

#include "base/status.h"
#include "wenqu/wenqu.h"

namespace wenqu::capi {

// Remembers the error for wq_last_error() of this thread, and gives its code.
wq_status remember(const Status& status) noexcept;

template <typename Body>
wq_status guarded(Body&& body) noexcept {
  try {
    return remember(std::forward<Body>(body)());
  } catch (const std::bad_alloc&) {
    return remember(Status(StatusCode::out_of_memory, "not enough memory"));
  } catch (const std::exception& error) {
    return remember(Status(StatusCode::internal, error.what()));
  } catch (...) {
    return remember(Status(StatusCode::internal, "an unknown exception"));
  }
}

inline Status null_argument(const char* name) {
  return Status(StatusCode::invalid_argument, "must not be NULL", name);
}

}  // namespace wenqu::capi

struct wq_string {
  std::string text;
};
