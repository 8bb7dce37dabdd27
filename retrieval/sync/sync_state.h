// What is known of the files that were read into an index, kept beside it, so that unchanged ones need not be read
// again and the documents of vanished ones can be removed.
//
// The state is never trusted with more than work: when it is lost, damaged or older than the index, files are read again.
// Before a commit it is saved with the documents of every file that the commit touches, so that none is forgotten.
// Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "retrieval/similar/near_duplicates.h"

namespace wenqu::retrieval {

struct FileState {
  uint64_t size = 0;
  int64_t changed_ns = 0;
  std::string hash;               // SHA-256 of the content; empty: not known
  std::string options;            // what else decided how it was read
  std::vector<std::string> ids;   // of the documents that came from it
  std::vector<std::string> duplicates_of;   // documents for whose sake some of its own were marked or left out
  bool settled = false;           // the index holds all of that in a commit
  bool vanished = false;          // not saved: its documents are removed by the next commit
};

struct SyncState {
  uint64_t commit = 0;            // of the index when it was saved
  std::map<std::string, FileState> files;   // by absolute path
  NearDuplicates similar;

  // Reads the state of the index in a directory; an empty one where there is none to be had. Where the index is older
  // (`index_commit`) than the state, nothing in it counts as settled.
  static SyncState load(const std::string& index_directory, uint64_t index_commit);
  // Errors: io_error.
  Status save(const std::string& index_directory) const;
};

// The file's name in the index directory.
inline constexpr const char* kSyncStateName = "files";

}  // namespace wenqu::retrieval
