#include "retrieval/store/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "retrieval/store/crc32c.h"
#include "retrieval/store/file_probe.h"

namespace wenqu::retrieval {
namespace {

// Linux transfers at most about 2 GiB in one call.
constexpr size_t kMaxTransfer = size_t{1} << 30;

Status system_error(const char* doing, const std::string& path) {
  const int error = errno;
  const bool missing = error == ENOENT || error == ENOTDIR;
  return Status(missing ? StatusCode::not_found : StatusCode::io_error,
                std::string("cannot ") + doing + ": " + std::strerror(error), path);
}

}  // namespace

File::File(File&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  return *this;
}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

Result<File> File::create(const std::string& path) {
  if (fault_injected(FileOperation::create, path)) return system_error("create", path);
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return system_error("create", path);
  report_file_event({FileOperation::create, path});
  return File(fd, path);
}

Result<File> File::open(const std::string& path) {
  if (fault_injected(FileOperation::open, path)) return system_error("open", path);
  // O_NONBLOCK: a pipe in the place of a file must not hang us.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return system_error("open", path);
  File file(fd, path);
  struct stat info {};
  if (::fstat(fd, &info) != 0) return system_error("stat", path);
  if (!S_ISREG(info.st_mode)) return Status(StatusCode::io_error, "not a regular file", path);
  return file;
}

Status File::write_at(uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t wanted = std::min(bytes.size(), kMaxTransfer);
    const ssize_t written = fault_injected(FileOperation::write, path_)
                                ? -1
                                : ::pwrite(fd_, bytes.data(), wanted, static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return system_error("write", path_);
    }
    report_file_event({FileOperation::write, path_, {}, offset, bytes.substr(0, static_cast<size_t>(written))});
    bytes.remove_prefix(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
  return {};
}

Status File::read_at(uint64_t offset, void* out, size_t size) const {
  auto* bytes = static_cast<char*>(out);
  while (size > 0) {
    const ssize_t got = fault_injected(FileOperation::read, path_)
                            ? -1
                            : ::pread(fd_, bytes, std::min(size, kMaxTransfer), static_cast<off_t>(offset));
    if (got < 0) {
      if (errno == EINTR) continue;
      return system_error("read", path_);
    }
    if (got == 0) return Status(StatusCode::corrupt, "the file ends too early", path_);
    bytes += got;
    size -= static_cast<size_t>(got);
    offset += static_cast<uint64_t>(got);
  }
  return {};
}

Result<uint64_t> File::size() const {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) return system_error("stat", path_);
  return static_cast<uint64_t>(info.st_size);
}

Result<uint32_t> File::checksum(uint64_t bytes) const {
  constexpr size_t kBlock = 256 * 1024;
  const auto block = std::make_unique<char[]>(static_cast<size_t>(std::min<uint64_t>(bytes, kBlock)));
  uint32_t crc = 0;
  for (uint64_t offset = 0; offset < bytes;) {
    const auto size = static_cast<size_t>(std::min<uint64_t>(bytes - offset, kBlock));
    WENQU_RETURN_IF_ERROR(read_at(offset, block.get(), size));
    crc = crc32c(crc, block.get(), size);
    offset += size;
  }
  return crc;
}

void File::drop_cache() const { (void)::posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED); }

Status File::sync() {
  while (fault_injected(FileOperation::sync, path_) || ::fsync(fd_) != 0)
    if (errno != EINTR) return system_error("synchronise", path_);
  report_file_event({FileOperation::sync, path_});
  return {};
}

Status File::write_again(uint64_t bytes) {
  std::string block;
  for (uint64_t offset = 0; offset < bytes; offset += block.size()) {
    block.resize(static_cast<size_t>(std::min<uint64_t>(bytes - offset, 256 * 1024)));
    WENQU_RETURN_IF_ERROR(read_at(offset, block.data(), block.size()));
    WENQU_RETURN_IF_ERROR(write_at(offset, block));
  }
  return {};
}

Status File::close() {
  if (fd_ < 0) return {};
  // After close() the descriptor is gone whatever it returned (Linux), so there is no second try.
  const int result = ::close(std::exchange(fd_, -1));
  if (fault_injected(FileOperation::close, path_) || (result != 0 && errno != EINTR))
    return system_error("close", path_);
  return {};
}

Result<std::string> read_whole_file(const std::string& path, size_t max_bytes) {
  WENQU_ASSIGN_OR_RETURN(File file, File::open(path));
  WENQU_ASSIGN_OR_RETURN(const uint64_t size, file.size());
  if (size > max_bytes)
    return Status(StatusCode::limit_exceeded, "larger than " + std::to_string(max_bytes) + " bytes", path);
  std::string content(static_cast<size_t>(size), '\0');
  WENQU_RETURN_IF_ERROR(file.read_at(0, content.data(), content.size()));
  return content;
}

namespace {

// Directories that were there before us may be none of ours to open; then they are none of ours to lose.
Status sync_existing_directory(const std::string& path) {
  const Status status = sync_directory(path);
  const bool not_ours = errno == EACCES || errno == EPERM || errno == EINVAL || errno == EROFS;
  return status || not_ours ? Status() : status;
}

}  // namespace

std::string replacement_of(const std::string& path) { return path + ".new"; }

Status write_replacement(const std::string& path, std::string_view content) {
  const std::string fresh = replacement_of(path);
  WENQU_RETURN_IF_ERROR(remove_file(fresh));
  WENQU_ASSIGN_OR_RETURN(File file, File::create(fresh));
  WENQU_RETURN_IF_ERROR(file.write_at(0, content));
  WENQU_RETURN_IF_ERROR(file.sync());
  return file.close();
}

Status install_replacement(const std::string& path) {
  const std::string fresh = replacement_of(path);
  if (fault_injected(FileOperation::rename, path) || ::rename(fresh.c_str(), path.c_str()) != 0)
    return system_error("replace", path);
  report_file_event({FileOperation::rename, fresh, path});
  return {};
}

Status create_directories(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path full = fs::absolute(path, error).lexically_normal();
  if (error) return Status(StatusCode::io_error, "cannot resolve: " + error.message(), path);
  fs::path built;
  // Each level is durable before the next one is made, so of those that exist only the last may be unsure.
  std::string unsure;
  for (const fs::path& part : full) {
    const fs::path parent = built;
    built /= part;
    if (part.empty() || parent.empty()) continue;  // a trailing slash; the root
    if (!fault_injected(FileOperation::make_directory, built.string()) && ::mkdir(built.c_str(), 0777) == 0) {
      report_file_event({FileOperation::make_directory, built.string()});
      if (!unsure.empty()) WENQU_RETURN_IF_ERROR(sync_existing_directory(std::exchange(unsure, {})));
      WENQU_RETURN_IF_ERROR(sync_directory(parent.string()));
      continue;
    }
    if (const int reason = errno; !fs::is_directory(built, error)) {
      errno = reason;
      return system_error("create the directory", built.string());
    }
    unsure = parent.string();
  }
  return unsure.empty() ? Status() : sync_existing_directory(unsure);
}

Status sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int reason = errno;
  Status status;
  if (fd < 0) {
    status = system_error("open the directory", path);
    errno = reason;  // sync_existing_directory() looks at it
    return status;
  }
  while (fault_injected(FileOperation::sync_directory, path) || ::fsync(fd) != 0) {
    reason = errno;
    if (reason == EINTR) continue;
    status = system_error("synchronise the directory", path);
    break;
  }
  ::close(fd);
  if (status) report_file_event({FileOperation::sync_directory, path});
  errno = reason;
  return status;
}

Result<std::vector<std::string>> list_files(const std::string& directory) {
  DIR* stream = fault_injected(FileOperation::list, directory) ? nullptr : ::opendir(directory.c_str());
  if (!stream) return system_error("list the directory", directory);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream)) {
    struct stat info {};
    if (::fstatat(::dirfd(stream), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
        !S_ISDIR(info.st_mode))
      names.emplace_back(entry->d_name);
    errno = 0;
  }
  const Status status = errno == 0 ? Status() : system_error("list the directory", directory);
  ::closedir(stream);
  if (!status) return status;
  return names;
}

Result<bool> is_empty_directory(const std::string& path) {
  std::error_code error;
  std::filesystem::directory_iterator entries(path, error), end;
  for (; !error && entries != end; entries.increment(error))
    if (!entries->path().filename().string().starts_with('.')) return false;
  if (error && error != std::errc::no_such_file_or_directory)
    return Status(StatusCode::io_error, "cannot list the directory: " + error.message(), path);
  return true;
}

Result<bool> exists(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return system_error("look up", path);
}

uint64_t free_bytes(const std::string& directory) {
  if (fault_injected(FileOperation::space, directory)) return 0;
  struct statvfs info {};
  if (::statvfs(directory.c_str(), &info) != 0) return UINT64_MAX;
  return uint64_t{::geteuid() == 0 ? info.f_bfree : info.f_bavail} * uint64_t{info.f_frsize};   // some is root's alone
}

Status remove_file(const std::string& path) {
  if (fault_injected(FileOperation::remove, path) || ::unlink(path.c_str()) != 0)
    return errno == ENOENT ? Status() : system_error("remove", path);
  report_file_event({FileOperation::remove, path});
  return {};
}

}  // namespace wenqu::retrieval
