// A regular file mapped read-only into memory.
//
// Lifetime: data() stays valid until destruction, and is shared by every reader of the same file.
// A file that another process cuts short while it is mapped raises SIGBUS on access: replace model
// files by rename, do not rewrite them in place.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/status.h"

namespace wenqu {

class MappedFile {
 public:
  // Errors: not_found, io_error, and invalid_argument for what is not a regular file (a directory,
  // pipe or device is refused before it is read).
  static Result<MappedFile> open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> data() const { return {data_, size_}; }
  size_t size() const { return size_; }

 private:
  MappedFile(const std::byte* data, size_t size) : data_(data), size_(size) {}

  const std::byte* data_ = nullptr;  // nullptr for an empty file
  size_t size_ = 0;
};

}  // namespace wenqu
