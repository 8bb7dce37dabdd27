// The few file operations an index lives on, over raw descriptors: every result is checked, EINTR
// and short transfers are handled, and what must survive a power cut is synchronised by name.
//
// Thread safety: a File may be read by any number of threads at once; writing is for one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace wenqu::retrieval {

class File {
 public:
  File() = default;  // closed
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  // Creates a file that must not exist yet.
  static Result<File> create(const std::string& path);
  // Opens a regular file for reading. Errors: not_found, io_error.
  static Result<File> open(const std::string& path);

  Status write_at(uint64_t offset, std::string_view bytes);
  // Reads exactly `size` bytes. Errors: corrupt when the file ends before, io_error.
  Status read_at(uint64_t offset, void* out, size_t size) const;
  Result<uint64_t> size() const;
  // Checksum of the first `bytes` bytes.
  Result<uint32_t> checksum(uint64_t bytes) const;
  // Lets the system forget what it holds of the file in memory, so that the next read is of the disk.
  void drop_cache() const;
  // Brings the content to stable storage. After an error the system may take for kept what is not, and the next call
  // would prove nothing: write_again() comes first then.
  Status sync();
  // Gives the system the first `bytes` bytes once more, as it reads them.
  Status write_again(uint64_t bytes);
  // Reports what a deferred write may still fail with; the destructor closes silently.
  Status close();

  const std::string& path() const { return path_; }

 private:
  File(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  int fd_ = -1;
  std::string path_;
};

// Errors: not_found, io_error, limit_exceeded when the file is larger than `max_bytes`.
Result<std::string> read_whole_file(const std::string& path, size_t max_bytes);

// A file is replaced in two steps: the new one is written beside it and synchronised, then renamed
// over it. The directory still has to be synchronised.
std::string replacement_of(const std::string& path);   // the name of the new one
Status write_replacement(const std::string& path, std::string_view content);
Status install_replacement(const std::string& path);

// Creates the directory and those above it that are missing. All are durable afterwards, those too
// that a process which died before it could say so has left.
Status create_directories(const std::string& path);
// Makes the creation, renaming and removal of the directory's entries durable.
Status sync_directory(const std::string& path);
// The names of the entries that are not directories.
Result<std::vector<std::string>> list_files(const std::string& directory);
// Whether the directory has no entries but hidden ones. What does not exist is empty.
Result<bool> is_empty_directory(const std::string& path);
// Whether there is anything of that name. Errors: io_error, where that cannot be told.
Result<bool> exists(const std::string& path);
// What the disk of the directory has free, as far as the system tells; else UINT64_MAX.
uint64_t free_bytes(const std::string& directory);
// Removing what is not there is no error.
Status remove_file(const std::string& path);

}  // namespace wenqu::retrieval
