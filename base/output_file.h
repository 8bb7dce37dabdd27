// A file that appears under its name only when it is whole: it is written beside it under another name,
// synchronised and renamed. Whoever opens the name sees the former file or the new one, never a part.
//
// Thread safety: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace wenqu {

class OutputFile {
 public:
  // Errors: not_found (the directory), io_error.
  static Result<OutputFile> create(const std::string& path);
  // The same; but what is there and is no regular file (a pipe, a device), and /dev/stdout whatever it is, is written to directly.
  static Result<OutputFile> create_or_open(const std::string& path);

  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;
  // Unless finish() succeeded, nothing is left.
  ~OutputFile();

  // Appends. Errors: io_error.
  Status write(std::span<const std::byte> bytes);
  Status write(std::string_view text) { return write(std::as_bytes(std::span(text))); }
  // Zeros up to the next multiple of `alignment`.
  Status pad(uint64_t alignment);
  uint64_t size() const { return size_; }

  // Brings the content to stable storage and gives it its name, where it has none yet. Nothing may be written afterwards.
  Status finish();

 private:
  OutputFile(int fd, std::string path, std::string temporary);
  Status flush();
  Status failed(const char* doing) const;

  int fd_ = -1;
  std::string path_, temporary_;   // temporary_ is empty when there is nothing to remove
  std::vector<std::byte> buffer_;
  uint64_t size_ = 0;
};

}  // namespace wenqu
