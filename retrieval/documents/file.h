// A regular file read from front to back. Opening a pipe, device or folder is refused without
// blocking. Thread safety: one thread at a time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/status.h"

namespace wenqu::retrieval {

class InputFile {
 public:
  // Errors: not_found, io_error. `path` is named in every error of this file.
  static Result<InputFile> open(const std::string& path);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;
  ~InputFile();

  uint64_t size() const { return size_; }
  int descriptor() const { return fd_; }   // open as long as this is
  // When it was last changed: ISO 8601 in UTC.
  std::string changed_at() const;
  // Reads up to `limit` bytes into `out`, replacing it; empty at the end. Errors: io_error.
  Status read(size_t limit, std::string& out);

 private:
  InputFile(int fd, uint64_t size, time_t changed, std::string path)
      : fd_(fd), size_(size), changed_(changed), path_(std::move(path)) {}
  int fd_;
  uint64_t size_;
  time_t changed_;
  std::string path_;
};

}  // namespace wenqu::retrieval
