#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace wenqu {

Result<MappedFile> MappedFile::open(const std::string& path) {
  // O_NONBLOCK: opening a pipe nobody writes to must not hang.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const int error = errno;
    return Status(error == ENOENT || error == ENOTDIR ? StatusCode::not_found : StatusCode::io_error,
                  std::string("cannot open: ") + std::strerror(error), path);
  }
  struct stat info {};
  Status status;
  const std::byte* data = nullptr;
  if (::fstat(fd, &info) != 0) {
    status = Status(StatusCode::io_error, std::string("cannot stat: ") + std::strerror(errno), path);
  } else if (!S_ISREG(info.st_mode)) {
    status = Status(StatusCode::invalid_argument, "not a regular file", path);
  } else if (info.st_size > 0) {
    void* mapped = ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
      status = Status(StatusCode::io_error, std::string("cannot map: ") + std::strerror(errno), path);
    else
      data = static_cast<const std::byte*>(mapped);
  }
  ::close(fd);
  if (!status) return status;
  return MappedFile(data, static_cast<size_t>(info.st_size));
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace wenqu
