// The right to write an index: one holder among all processes, and among all threads of each.
//
// The lock is flock(2) on a file that is never deleted, so the system gives it back when the holder
// dies, however it dies. (Lucene++ 3.0.8's own write lock does not exclude anybody on Linux.)
#pragma once

#include <string>

#include "base/status.h"

namespace wenqu::retrieval {

class WriteLock {
 public:
  // Never waits. Errors: busy, naming the holder's process; io_error.
  static Result<WriteLock> acquire(const std::string& path);

  WriteLock(WriteLock&& other) noexcept;
  WriteLock& operator=(WriteLock&& other) noexcept;
  ~WriteLock();

 private:
  explicit WriteLock(int fd) : fd_(fd) {}

  int fd_ = -1;
};

}  // namespace wenqu::retrieval
