#include "base/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace wenqu {
namespace {

constexpr size_t kBufferBytes = 1 << 20;
constexpr size_t kMaxTransfer = size_t{1} << 30;   // Linux transfers at most about 2 GiB in one call

}  // namespace

OutputFile::OutputFile(int fd, std::string path, std::string temporary)
    : fd_(fd), path_(std::move(path)), temporary_(std::move(temporary)) {}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      buffer_(std::move(other.buffer_)),
      size_(other.size_) {}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(buffer_, other.buffer_);
  std::swap(size_, other.size_);
  return *this;
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Status OutputFile::failed(const char* doing) const {
  const int error = errno;
  return Status(error == ENOENT || error == ENOTDIR ? StatusCode::not_found : StatusCode::io_error,
                std::string("cannot ") + doing + ": " + std::strerror(error), path_);
}

Result<OutputFile> OutputFile::create(const std::string& path) {
  OutputFile file(-1, path, {});
  struct stat there;
  if (::stat(path.c_str(), &there) == 0 && !S_ISREG(there.st_mode))
    return Status(StatusCode::invalid_argument, "is there and is no regular file: name another", path);
  // The process and a count make the name this writer's own; what a dead process left is not touched.
  static std::atomic<unsigned> count{0};
  std::string temporary = path + ".part-" + std::to_string(::getpid()) + "-" + std::to_string(count.fetch_add(1));
  file.fd_ = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file.fd_ < 0) return file.failed("create the file");
  file.temporary_ = std::move(temporary);
  return file;
}

Result<OutputFile> OutputFile::create_or_open(const std::string& path) {
  const bool is_stdout = path == "/dev/stdout";   // a link, of which there must always be one
  struct stat there;
  if (!is_stdout && (::stat(path.c_str(), &there) != 0 || S_ISREG(there.st_mode) || S_ISDIR(there.st_mode))) return create(path);
  OutputFile file(-1, path, {});
  file.fd_ = is_stdout ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0) : ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
  if (file.fd_ < 0) return file.failed("open the file");
  return file;
}

Status OutputFile::write(std::span<const std::byte> bytes) {
  size_ += bytes.size();
  if (buffer_.size() + bytes.size() < kBufferBytes) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return temporary_.empty() ? flush() : Status();   // whoever reads a pipe gets it as it comes
  }
  WENQU_RETURN_IF_ERROR(flush());
  while (!bytes.empty()) {
    const ssize_t done = ::write(fd_, bytes.data(), std::min(bytes.size(), kMaxTransfer));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return failed("write");
    bytes = bytes.subspan(static_cast<size_t>(done));
  }
  return {};
}

Status OutputFile::flush() {
  std::span<const std::byte> rest = buffer_;
  while (!rest.empty()) {
    const ssize_t done = ::write(fd_, rest.data(), rest.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return failed("write");
    rest = rest.subspan(static_cast<size_t>(done));
  }
  buffer_.clear();
  return {};
}

Status OutputFile::pad(uint64_t alignment) {
  const std::vector<std::byte> zeros((alignment - size_ % alignment) % alignment);
  return write(zeros);
}

Status OutputFile::finish() {
  WENQU_RETURN_IF_ERROR(flush());
  if (temporary_.empty()) return ::close(std::exchange(fd_, -1)) == 0 ? Status() : failed("close the file");
  if (::fsync(fd_) != 0) return failed("bring the file to stable storage");
  if (::close(std::exchange(fd_, -1)) != 0) return failed("close the file");
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) return failed("give the file its name");
  temporary_.clear();
  const size_t slash = path_.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path_.substr(0, std::max<size_t>(slash, 1));
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return failed("open the file's directory");
  const bool synced = ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  errno = error;
  return synced ? Status() : failed("bring the file's name to stable storage");
}

}  // namespace wenqu
