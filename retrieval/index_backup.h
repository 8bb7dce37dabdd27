// A copy of an index that is made while it is searched and written.
//
// The copy is an index: it is restored by opening it, or by copying it back. It holds the newest commit of the moment
// in which the copying begins.
//
// Thread safety: free function; any number at once.
#pragma once

#include <cstdint>
#include <string>

#include "base/cancel.h"
#include "base/status.h"

namespace wenqu::retrieval {

struct BackupOptions {
  // Hard links instead of copies, where the file system has them: no time and no space, but on the same disk, and a
  // file that goes bad there goes bad in both.
  bool link = false;
};

struct BackupReport {
  uint64_t commit = 0;
  uint64_t documents = 0;
  uint64_t files = 0;
  uint64_t linked = 0;   // of them; the others were copied
  uint64_t bytes = 0;
};

// `out` must be empty or not exist. Every file of the copy is synchronised and held against its checksum; the manifest
// comes last, so a copy that was not finished is no index. Errors: not_found, corrupt, io_error, invalid_argument
// (`out` holds something), cancelled.
Result<BackupReport> backup_index(const std::string& directory, const std::string& out, const BackupOptions& options,
                                  const CancelToken& cancel);

}  // namespace wenqu::retrieval
