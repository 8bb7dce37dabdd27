// The right to write an index: one holder among all processes, and among all threads of each.
//
// The lock is flock(2) on a file that we never delete, so the system gives it back when the holder
// dies, however it dies. (Lucene++ 3.0.8's own write lock does not exclude anybody on Linux.) The
// directory is locked too, where its file system can, in case somebody else deletes the file. A child that is forked
// has no part in it, though it keeps the files open: closed by the process that took it, it is free.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "base/status.h"

namespace wenqu::retrieval {

class WriteLock {
 public:
  // Never waits. `path` lies in `directory`. Errors: busy, naming the holder's process; io_error.
  static Result<WriteLock> acquire(const std::string& directory, const std::string& path);
  // An error when another directory has taken the place of the locked one.
  Status check_still_there() const;

  WriteLock(WriteLock&& other) noexcept;
  WriteLock& operator=(WriteLock&& other) noexcept;
  ~WriteLock();

 private:
  explicit WriteLock(std::string directory) : directory_(std::move(directory)) {}

  std::string directory_;
  int fd_ = -1;
  int directory_fd_ = -1;
  pid_t owner_ = 0;   // the process that took it
};

}  // namespace wenqu::retrieval
