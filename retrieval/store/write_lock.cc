#include "retrieval/store/write_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "retrieval/store/file_probe.h"

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

// Takes the lock or gives the errno that says why not.
int try_lock(int fd, const std::string& path) {
  while (fault_injected(FileOperation::lock, path) || ::flock(fd, LOCK_EX | LOCK_NB) != 0)
    if (errno != EINTR) return errno;
  return 0;
}

Status system_error(const char* doing, int error, const std::string& path) {
  return Status(StatusCode::io_error, std::string("cannot ") + doing + ": " + std::strerror(error), path);
}

Status in_use(int fd, const std::string& path) {
  return Status(StatusCode::busy,
                "the index is open for writing in " + holder_of(fd) +
                    "; wait until it is done, or open the index for reading",
                path);
}

// A child that was forked shares the lock and may live on: closing alone would leave it locked. But a child that closes its
// copy leaves it to us.
void unlock(int fd, pid_t owner) {
  if (fd < 0) return;
  if (::getpid() == owner) (void)::flock(fd, LOCK_UN);
  ::close(fd);
}

}  // namespace

Result<WriteLock> WriteLock::acquire(const std::string& directory, const std::string& path) {
  WriteLock lock(directory);
  lock.owner_ = ::getpid();
  lock.fd_ = fault_injected(FileOperation::open, path) ? -1 : ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock.fd_ < 0) return system_error("open the lock file", errno, path);
  if (const int error = try_lock(lock.fd_, path); error == EWOULDBLOCK) return in_use(lock.fd_, path);
  else if (error != 0) return system_error("lock", error, path);
  lock.directory_fd_ = fault_injected(FileOperation::open, directory)
                           ? -1
                           : ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock.directory_fd_ < 0) return system_error("open the directory", errno, directory);
  // A network file system may be unable to lock directories; the file's lock has to do then.
  if (try_lock(lock.directory_fd_, directory) == EWOULDBLOCK) return in_use(lock.fd_, path);
  const std::string id = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock.fd_, 0) != 0 || ::pwrite(lock.fd_, id.data(), id.size(), 0) < 0) {
    // The lock holds without its hint: a full disk is no reason to refuse.
  }
  return lock;
}

Status WriteLock::check_still_there() const {
  struct stat ours {};
  struct stat there {};
  if (::fstat(directory_fd_, &ours) == 0 && ::stat(directory_.c_str(), &there) == 0 &&
      ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
    return {};
  return Status(StatusCode::io_error, "the index was moved, removed or replaced while it was open for writing",
                directory_);
}

WriteLock::WriteLock(WriteLock&& other) noexcept
    : directory_(std::move(other.directory_)),
      fd_(std::exchange(other.fd_, -1)),
      directory_fd_(std::exchange(other.directory_fd_, -1)),
      owner_(other.owner_) {}

WriteLock& WriteLock::operator=(WriteLock&& other) noexcept {
  std::swap(directory_, other.directory_);
  std::swap(fd_, other.fd_);
  std::swap(directory_fd_, other.directory_fd_);
  std::swap(owner_, other.owner_);
  return *this;
}

WriteLock::~WriteLock() {
  unlock(fd_, owner_);
  unlock(directory_fd_, owner_);
}

}  // namespace wenqu::retrieval
