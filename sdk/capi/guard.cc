#include "sdk/capi/guard.h"

namespace wenqu::capi {
namespace {

thread_local std::string last_error;

}  // namespace

wq_status remember(const Status& status) noexcept {
  if (status.is_ok()) return WQ_OK;
  try {
    last_error = status.to_string();
  } catch (...) {
    last_error.clear();
  }
  return static_cast<wq_status>(status.code());
}

}  // namespace wenqu::capi

using namespace wenqu;

extern "C" {

const char* wq_last_error(void) { return capi::last_error.c_str(); }

const char* wq_status_name(wq_status status) {
  return status_code_name(static_cast<StatusCode>(status)).data();
}

const char* wq_string_data(const wq_string* string) { return string ? string->text.c_str() : nullptr; }
size_t wq_string_length(const wq_string* string) { return string ? string->text.size() : 0; }
void wq_string_free(wq_string* string) { delete string; }

}  // extern "C"
