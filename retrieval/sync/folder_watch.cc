#include "retrieval/sync/folder_watch.h"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

namespace wenqu::retrieval {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kLookMilliseconds = 200;   // how often cancellation is looked at
constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB;

}  // namespace

Result<FolderWatch> FolderWatch::create(const WatchOptions& options) {
  const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) return Status(StatusCode::io_error, std::string("cannot watch folders: ") + std::strerror(errno));
  return FolderWatch(fd, options);
}

FolderWatch::FolderWatch(FolderWatch&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), options_(other.options_), some_unwatched_(other.some_unwatched_), told_(other.told_) {}

FolderWatch::~FolderWatch() {
  if (fd_ >= 0) ::close(fd_);
}

Status FolderWatch::watch(const std::set<std::string>& folders) {
  Status status;
  some_unwatched_ = false;
  for (const std::string& folder : folders) {
    // Watching what is watched already changes nothing.
    if (::inotify_add_watch(fd_, folder.c_str(), kEvents | IN_ONLYDIR) >= 0) continue;
    some_unwatched_ = true;   // one that is gone may come back
    if (errno != ENOENT && errno != ENOTDIR && !std::exchange(told_, true))
      status = Status(StatusCode::limit_exceeded,
                      std::string("the system watches no more folders (") + std::strerror(errno) +
                          "): they are looked at now and then; raise fs.inotify.max_user_watches to mend it",
                      folder);
  }
  return status;
}

bool FolderWatch::take_events() {
  alignas(inotify_event) char events[16 << 10];
  bool any = false;
  for (;;) {
    const ssize_t got = ::read(fd_, events, sizeof events);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return any;
    any = true;
  }
}

Status FolderWatch::wait(const CancelToken& cancel) {
  const Clock::time_point begun = Clock::now();
  std::optional<Clock::time_point> first, last;   // of the events
  for (;;) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    const Clock::time_point now = Clock::now();
    if (first && (now - *last >= options_.quiet || now - *first >= options_.longest)) return {};
    if (some_unwatched_ && now - begun >= options_.poll) return {};
    pollfd ready{fd_, POLLIN, 0};
    const int wait = first ? static_cast<int>(std::min<long>(kLookMilliseconds, static_cast<long>(options_.quiet.count()) / 4 + 1)) : kLookMilliseconds;
    const int count = ::poll(&ready, 1, wait);
    if (count < 0 && errno != EINTR) return Status(StatusCode::io_error, std::string("cannot watch folders: ") + std::strerror(errno));
    if (count <= 0 || !take_events()) continue;
    last = Clock::now();
    if (!first) first = last;
  }
}

}  // namespace wenqu::retrieval
