#include "retrieval/store/file_probe.h"

#include <atomic>
#include <cerrno>
#include <mutex>
#include <utility>

namespace wenqu::retrieval {
namespace {

// A hook that others may be inside of while it is replaced. Recursive: a fault may do file operations itself.
template <typename Function>
class Hook {
 public:
  void set(Function function) {
    const std::lock_guard lock(mutex_);
    function_ = std::move(function);
    installed_ = static_cast<bool>(function_);
  }
  template <typename Call>
  void with(const Call& call) {
    if (!installed_) return;
    const std::lock_guard lock(mutex_);
    if (function_) call(function_);
  }

 private:
  std::atomic<bool> installed_{false};
  std::recursive_mutex mutex_;
  Function function_;
};

// Never destroyed: a host may exit while files are read.
Hook<FileFault>& fault_hook() {
  static auto& hook = *new Hook<FileFault>;
  return hook;
}

Hook<FileObserver>& observer_hook() {
  static auto& hook = *new Hook<FileObserver>;
  return hook;
}

}  // namespace

void set_file_fault_for_testing(FileFault fault) { fault_hook().set(std::move(fault)); }
void set_file_observer_for_testing(FileObserver observer) { observer_hook().set(std::move(observer)); }

bool fault_injected(FileOperation operation, const std::string& path) {
  int error = 0;
  fault_hook().with([&](const FileFault& fault) { error = fault(operation, path); });
  if (error == 0) return false;
  errno = error;
  return true;
}

void report_file_event(const FileEvent& event) {
  observer_hook().with([&](const FileObserver& observer) { observer(event); });
}

}  // namespace wenqu::retrieval
