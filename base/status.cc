#include "base/status.h"

namespace wenqu {

std::string_view status_code_name(StatusCode code) {
  switch (code) {
    case StatusCode::ok: return "ok";
    case StatusCode::invalid_argument: return "invalid_argument";
    case StatusCode::not_found: return "not_found";
    case StatusCode::unsupported: return "unsupported";
    case StatusCode::corrupt: return "corrupt";
    case StatusCode::io_error: return "io_error";
    case StatusCode::out_of_memory: return "out_of_memory";
    case StatusCode::busy: return "busy";
    case StatusCode::cancelled: return "cancelled";
    case StatusCode::deadline_exceeded: return "deadline_exceeded";
    case StatusCode::limit_exceeded: return "limit_exceeded";
    case StatusCode::version_mismatch: return "version_mismatch";
    case StatusCode::internal: return "internal";
    case StatusCode::struct_size: return "struct_size";
    case StatusCode::reentrant: return "reentrant";
    case StatusCode::timeout: return "timeout";
    case StatusCode::end_of_stream: return "end_of_stream";
  }
  return "unknown";
}

std::string Status::to_string() const {
  if (where_.empty()) return message_;
  return where_ + ": " + message_;
}

Status Status::at(std::string_view outer) const {
  if (is_ok()) return *this;
  std::string where(outer);
  if (!where_.empty()) where += ": " + where_;
  return Status(code_, message_, std::move(where));
}

}  // namespace wenqu
