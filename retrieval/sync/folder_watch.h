// Waits until something changes in folders (inotify). What has changed is for a sync to find out; events only wake it,
// so that none that is lost or doubled does harm.
//
// Thread safety: one thread at a time.
#pragma once

#include <chrono>
#include <set>
#include <string>

#include "base/cancel.h"
#include "base/status.h"

namespace wenqu::retrieval {

struct WatchOptions {
  std::chrono::milliseconds quiet{500};      // nothing may have happened for this long before a change is told
  std::chrono::milliseconds longest{5000};   // but it is told after this long at the latest
  std::chrono::milliseconds poll{30000};     // how often folders are looked at that the system cannot watch
};

class FolderWatch {
 public:
  // Errors: io_error.
  static Result<FolderWatch> create(const WatchOptions& options = {});
  FolderWatch(FolderWatch&& other) noexcept;
  FolderWatch& operator=(FolderWatch&&) = delete;
  ~FolderWatch();

  // Watches these folders, each by itself. Call it before each sync, and before wait() with those that the sync has
  // found. ok, or limit_exceeded once when the system watches no more folders: they are looked at now and then.
  Status watch(const std::set<std::string>& folders);
  // Returns when something may have changed. Errors: cancelled, io_error.
  Status wait(const CancelToken& cancel);

 private:
  FolderWatch(int fd, const WatchOptions& options) : fd_(fd), options_(options) {}
  bool take_events();

  int fd_;
  WatchOptions options_;
  bool some_unwatched_ = false;
  bool told_ = false;
};

}  // namespace wenqu::retrieval
