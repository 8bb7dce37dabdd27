#include "retrieval/documents/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

namespace wenqu::retrieval {

Result<InputFile> InputFile::open(const std::string& path) {
  // O_NONBLOCK: opening a pipe that nobody writes to must not hang.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const int error = errno;
    return Status(error == ENOENT || error == ENOTDIR ? StatusCode::not_found : StatusCode::io_error,
                  std::string("cannot open: ") + std::strerror(error), path);
  }
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return Status(StatusCode::io_error, "not a regular file", path);
  }
  return InputFile(fd, static_cast<uint64_t>(info.st_size), info.st_mtime, path);
}

InputFile::InputFile(InputFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), size_(other.size_), changed_(other.changed_), path_(std::move(other.path_)) {}

InputFile::~InputFile() {
  if (fd_ >= 0) ::close(fd_);
}

std::string InputFile::changed_at() const {
  std::tm utc{};
  char text[32];
  if (!gmtime_r(&changed_, &utc) || std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) return {};
  return text;
}

Status InputFile::read(size_t limit, std::string& out) {
  out.resize(limit);
  size_t size = 0;
  while (size < limit) {
    const ssize_t got = ::read(fd_, out.data() + size, limit - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Status(StatusCode::io_error, std::string("cannot read: ") + std::strerror(errno), path_);
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  out.resize(size);
  return {};
}

}  // namespace wenqu::retrieval
