#include "sdk/capi/guard.h"

#include <cstring>

#include "base/utf8.h"

namespace wenqu::capi {
namespace {

constexpr size_t kMostOfError = 4096;   // bytes, with the NUL
constexpr size_t kMostOfWhere = 2048;   // of these, so that a long path or name leaves room for what is wrong with it

// No string: it takes no memory when there is none, and is there as long as its thread, whatever a host calls at its exit.
thread_local char last_error[kMostOfError];

// Appends text to the `used` bytes, up to `room` of them in all, as valid UTF-8 without a NUL. Gives what is used then.
size_t put(size_t used, std::string_view text, size_t room) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD", kCut = "...";
  for (size_t pos = 0; pos < text.size();) {
    const size_t begin = pos;
    const char32_t c = utf8_next(text, pos);
    const std::string_view character = c == 0 || c == kReplacementCharacter ? kReplacement : text.substr(begin, pos - begin);
    if (used + character.size() + kCut.size() >= room) {
      std::memcpy(last_error + used, kCut.data(), kCut.size());
      return used + kCut.size();
    }
    std::memcpy(last_error + used, character.data(), character.size());
    used += character.size();
  }
  return used;
}

}  // namespace

wq_status remember(StatusCode code, std::string_view message, std::string_view where) noexcept {
  size_t used = where.empty() ? 0 : put(put(0, where, kMostOfWhere), ": ", kMostOfError);
  used = put(used, message, kMostOfError);
  last_error[used] = '\0';
  return static_cast<wq_status>(code);
}

wq_status remember(const Status& status) noexcept {
  return status.is_ok() ? WQ_OK : remember(status.code(), status.message(), status.where());
}

}  // namespace wenqu::capi

using namespace wenqu;

extern "C" {

const char* wq_last_error(void) { return capi::last_error; }

const char* wq_status_name(wq_status status) {
  return status_code_name(static_cast<StatusCode>(status)).data();
}

const char* wq_string_data(const wq_string* string) { return string ? string->text.c_str() : nullptr; }
size_t wq_string_length(const wq_string* string) { return string ? string->text.size() : 0; }
void wq_string_free(wq_string* string) { delete string; }

}  // extern "C"
