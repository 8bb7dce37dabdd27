// Errors are values. A Status says what went wrong, where, and how to mend it; a Result<T> is a T or
// a Status. Nothing in wenqu throws across a part's boundary: foreign exceptions are turned into a
// Status where the foreign library is called.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace wenqu {

// The numbers are those of wq_status in the C ABI and never change; new ones are appended.
enum class StatusCode : int32_t {
  ok = 0,
  invalid_argument = -1,    // the caller passed something unusable
  not_found = -2,           // a file, document or handle that is not there
  unsupported = -3,         // well formed, but this build cannot do it
  corrupt = -4,             // data that breaks its own format or checksum
  io_error = -5,            // the operating system refused
  out_of_memory = -6,       // memory, or a stated memory budget, is too small
  busy = -7,                // in use by somebody else: try again later
  cancelled = -8,           // the caller asked to stop
  deadline_exceeded = -9,   // the time budget ran out
  limit_exceeded = -10,     // a size, count or nesting limit was passed
  version_mismatch = -11,   // written by another version
  internal = -12,           // a defect in wenqu
  struct_size = -13,        // an options struct of the C ABI has no usable struct_size
  reentrant = -14,          // a call that is not allowed from inside a callback
  timeout = -15,            // nothing happened within the given time
  end_of_stream = -16,      // there will be no further event
};

// The stable lower-case name of a code, such as "invalid_argument".
std::string_view status_code_name(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  Status(StatusCode code, std::string message, std::string where = {})
      : code_(code), message_(std::move(message)), where_(std::move(where)) {}

  bool is_ok() const { return code_ == StatusCode::ok; }
  explicit operator bool() const { return is_ok(); }
  StatusCode code() const { return code_; }
  // What happened and how to mend it, for a person; empty when ok.
  const std::string& message() const { return message_; }
  // The file, line, field or argument it happened at; may be empty.
  const std::string& where() const { return where_; }
  // "where: message", or the message alone.
  std::string to_string() const;
  // The same error seen from further out: `outer` is put before where().
  Status at(std::string_view outer) const;

 private:
  StatusCode code_ = StatusCode::ok;
  std::string message_;
  std::string where_;
};

inline Status ok_status() { return {}; }

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  // REQUIRES: !status.is_ok()
  Result(Status status) : state_(std::in_place_index<1>, std::move(status)) {}

  bool is_ok() const { return state_.index() == 0; }
  explicit operator bool() const { return is_ok(); }
  // REQUIRES: is_ok()
  T& value() & { return *std::get_if<0>(&state_); }
  const T& value() const& { return *std::get_if<0>(&state_); }
  T&& value() && { return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }
  // ok when there is a value.
  Status status() const { return is_ok() ? Status() : *std::get_if<1>(&state_); }

 private:
  std::variant<T, Status> state_;
};

#define WENQU_CONCAT_(a, b) a##b
#define WENQU_CONCAT(a, b) WENQU_CONCAT_(a, b)

// Leaves the enclosing function with the error, if `expr` gives one.
#define WENQU_RETURN_IF_ERROR(expr)                  \
  do {                                               \
    if (auto wenqu_status_ = (expr); !wenqu_status_) \
      return ::wenqu::Status(std::move(wenqu_status_)); \
  } while (0)

// WENQU_ASSIGN_OR_RETURN(auto file, File::open(path)): declares `file`, or leaves with the error.
#define WENQU_ASSIGN_OR_RETURN(declaration, expr) \
  WENQU_ASSIGN_OR_RETURN_(WENQU_CONCAT(wenqu_result_, __LINE__), declaration, expr)
#define WENQU_ASSIGN_OR_RETURN_(result, declaration, expr) \
  auto result = (expr);                                    \
  if (!result) return result.status();                     \
  declaration = std::move(result).value()

}  // namespace wenqu
