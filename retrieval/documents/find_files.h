// The files under a folder that can be read. Thread safety: pure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"

namespace wenqu::retrieval {

struct FoundFile {
  std::string path;
  uint64_t size = 0;
  int64_t changed_ns = 0;   // modification time, nanoseconds since 1970
};

struct FoundFiles {
  std::vector<FoundFile> files;             // in sorted order, folder by folder
  std::vector<std::string> folders;         // walked, the first one included
  std::vector<std::string> closed_folders;  // that cannot be listed: what is in them is not known
};

// Walks a folder: hidden files and folders and `except` (a normal path, may be empty) are passed over, symbolic links to
// folders not followed. `problem` is told of folders that cannot be listed. Errors: io_error (the folder itself),
// cancelled.
Result<FoundFiles> find_files(const std::string& folder, const std::string& except, const CancelToken& cancel,
                              const std::function<void(const Status&)>& problem);

}  // namespace wenqu::retrieval
