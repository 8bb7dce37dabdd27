// The wall between C++ and C: every function of the ABI runs its body inside guarded(), which turns
// Status and exceptions into a wq_status and remembers the words for wq_last_error().
#pragma once

#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/status.h"
#include "wenqu/wenqu.h"

namespace wenqu::capi {

// Remembers the error for wq_last_error() of this thread, and gives its code. Takes no memory.
wq_status remember(const Status& status) noexcept;
wq_status remember(StatusCode code, std::string_view message, std::string_view where = {}) noexcept;

template <typename Body>
wq_status guarded(Body&& body) noexcept {
  try {
    return remember(std::forward<Body>(body)());
  } catch (const std::bad_alloc&) {
    return remember(StatusCode::out_of_memory, "not enough memory");
  } catch (const std::length_error&) {
    return remember(StatusCode::limit_exceeded, "a length is more than memory can hold");
  } catch (const std::system_error& error) {   // of a thread that cannot be started, say
    return remember(StatusCode::io_error, error.what());
  } catch (const std::exception& error) {
    return remember(StatusCode::internal, error.what());
  } catch (...) {
    return remember(StatusCode::internal, "an unknown exception");
  }
}

inline Status null_argument(const char* name) {
  return Status(StatusCode::invalid_argument, "must not be NULL", name);
}

}  // namespace wenqu::capi

struct wq_string {
  std::string text;
};
