// Reads a .jsonl file line by line, whatever its size. Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <functional>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/documents/file.h"

namespace wenqu::retrieval {

struct JsonLine {
  std::string_view text;   // without its line end and a byte order mark; valid during the call
  uint64_t number = 0;     // from 1
  bool too_long = false;   // the line had more than the allowed bytes: `text` is empty
};

// Calls `line` for every line that is not blank. Errors: io_error, cancelled, or what `line` gives.
// `bytes` grows by what was read.
Status for_each_line(InputFile& file, uint64_t max_line_bytes, const CancelToken& cancel, uint64_t& bytes,
                     const std::function<Status(const JsonLine&)>& line);

}  // namespace wenqu::retrieval
