#include "retrieval/store/file_probe.h"

#include <cerrno>
#include <utility>

namespace wenqu::retrieval {
namespace {

FileFault& installed_fault() {
  static FileFault fault;
  return fault;
}

FileObserver& installed_observer() {
  static FileObserver observer;
  return observer;
}

}  // namespace

void set_file_fault_for_testing(FileFault fault) { installed_fault() = std::move(fault); }
void set_file_observer_for_testing(FileObserver observer) { installed_observer() = std::move(observer); }

bool fault_injected(FileOperation operation, const std::string& path) {
  const FileFault& fault = installed_fault();
  if (!fault) return false;
  const int error = fault(operation, path);
  if (error == 0) return false;
  errno = error;
  return true;
}

void report_file_event(const FileEvent& event) {
  const FileObserver& observer = installed_observer();
  if (observer) observer(event);
}

}  // namespace wenqu::retrieval
