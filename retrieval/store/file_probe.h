// Where tests look into the file operations of an index, and make them fail. Costs a test of one
// pointer each when nothing is installed.
//
// Thread safety: whatever is installed is called by one thread at a time, and no more once it is removed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace wenqu::retrieval {

enum class FileOperation {
  create, open, read, write, sync, close, rename, remove, make_directory, list, sync_directory, lock,
  space,   // asking how much there is: none, where that has to fail
};

// Is asked before each operation and makes it fail with the errno it returns, unless 0.
using FileFault = std::function<int(FileOperation, const std::string& path)>;
void set_file_fault_for_testing(FileFault fault);

// An operation that changed files, or made changes last.
struct FileEvent {
  FileOperation operation;
  std::string path;
  std::string to;          // of a rename
  uint64_t offset = 0;     // of a write
  std::string_view bytes;  // of a write; valid during the call only
};
// Is told of each such operation after it succeeded.
using FileObserver = std::function<void(const FileEvent&)>;
void set_file_observer_for_testing(FileObserver observer);

// For the file operations themselves. Sets errno and returns true when the operation has to fail.
bool fault_injected(FileOperation operation, const std::string& path);
void report_file_event(const FileEvent& event);

}  // namespace wenqu::retrieval
