#include "retrieval/store/write_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace wenqu::retrieval {
namespace {

// The process id that the holder left in the file: only a hint for the message.
std::string holder_of(int fd) {
  char digits[24] = {};
  const ssize_t got = ::pread(fd, digits, sizeof digits - 1, 0);
  std::string id;
  for (ssize_t i = 0; i < got && digits[i] >= '0' && digits[i] <= '9'; ++i) id += digits[i];
  return id.empty() ? "another process" : "process " + id;
}

}  // namespace

Result<WriteLock> WriteLock::acquire(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0)
    return Status(StatusCode::io_error, std::string("cannot open the lock file: ") + std::strerror(errno), path);
  WriteLock lock(fd);
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK)
      return Status(StatusCode::busy,
                    "the index is open for writing in " + holder_of(fd) +
                        "; wait until it is done, or open the index for reading",
                    path);
    return Status(StatusCode::io_error, std::string("cannot lock: ") + std::strerror(errno), path);
  }
  const std::string id = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, id.data(), id.size(), 0) < 0) {
    // The lock holds without its hint: a full disk is no reason to refuse.
  }
  return lock;
}

WriteLock::WriteLock(WriteLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

WriteLock& WriteLock::operator=(WriteLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

WriteLock::~WriteLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace wenqu::retrieval
