// Keeps an index as the folders are: new and changed files are read, unchanged ones skipped, the documents of vanished
// ones removed; near-duplicates are kept, marked or left out as asked.
//
// A file is unchanged when its size and time are, or else its content (SHA-256). A file that cannot be read to its end keeps
// the documents that it had, and is tried again each time; so are those kept of a file of JSON Lines of which some cannot be read. Thread safety: one thread at a time. Lifetime: the index
// outlives it; nobody else removes what it has added.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/documents/find_files.h"
#include "retrieval/documents/reader.h"
#include "retrieval/index.h"
#include "retrieval/sync/sync_state.h"

namespace wenqu::retrieval {

// What becomes of a document that is nearly the same as one that is in the index (similar/near_duplicates.h), and that the
// same people may find.
enum class DuplicatePolicy {
  keep,   // it is added like any other
  mark,   // it is added with the attribute `near_duplicate_of`
  drop,   // it is left out
};

struct SyncOptions {
  ReadOptions read;
  DuplicatePolicy duplicates = DuplicatePolicy::keep;
  bool read_all = false;            // unchanged files too
  uint64_t commit_every = 10'000;   // documents
  bool follows = false;             // folders are synced again when they change: a file that is just being made is left for then
};

struct SyncCounts {
  uint64_t documents = 0;    // added or replaced
  uint64_t unchanged = 0;    // files
  uint64_t removed = 0;      // documents
  uint64_t duplicates = 0;   // documents marked or left out
  uint64_t problems = 0;
  uint64_t bytes = 0;        // read
};

struct SyncSink {
  std::function<void(const Status&)> problem;
  std::function<void(const SyncCounts&)> progress;    // after each file
  std::function<void(const SyncCounts&)> committed;   // after each durable commit
};

class FolderSync {
 public:
  // `index` was opened for writing in `index_directory`.
  FolderSync(Index& index, std::string index_directory, const SyncOptions& options, SyncSink sink);

  // Makes the index as the folder is. What was read is in the index after the next commit().
  // Errors: not_found and io_error (the folder itself: nothing is removed then), cancelled, or the index's.
  Status sync(const std::string& folder, const CancelToken& cancel);
  // Adds a single file, changed or not; nothing is removed. Errors: not_found, io_error, cancelled, or the index's.
  Status add_file(const std::string& path, const CancelToken& cancel);
  // Commits what has been added and removed, and saves the state. Errors: the index's.
  Status commit();
  // Removes a document, and looks anew at files that were left out or marked because of it: at their next sync.
  // Errors: not_found (the last commit has none of this id), or the index's.
  Status remove_document(const std::string& id);

  const SyncCounts& counts() const { return counts_; }
  // The folders that were walked last: what a watch has to look at.
  const std::set<std::string>& folders() const { return folders_; }

 private:
  // What a file gives while it is read.
  struct Given {
    FileState& state;
    std::set<std::string> before;   // ids that it had
    std::set<std::string> now;      // and has
  };
  Status sync_folder(const std::string& folder, const CancelToken& cancel);
  Status add_named_file(const std::string& path, const CancelToken& cancel);
  Status commit_and_save();
  Status sync_file(const FoundFile& file, const CancelToken& cancel);
  Status read(const std::string& name, const std::string& path, FileState& state, const CancelToken& cancel);
  Status add(Document&& document, Given& given);
  Status remove_vanished(const std::string& root, const FoundFiles& found);
  Status vanish(const std::string& path, FileState& file);
  Status remove_documents(const std::vector<std::string>& ids);
  void unsettle(const std::set<std::string>& ids);
  Status reread_freed(const FoundFiles& found, const CancelToken& cancel);
  void tell(const Status& problem);

  Index& index_;
  const std::string directory_;
  const SyncOptions options_;
  const SyncSink sink_;
  SyncState state_;
  SyncCounts counts_;
  uint64_t committed_documents_ = 0;
  bool changed_ = false;                       // since the last commit
  std::unordered_map<std::string, uint32_t> owners_;   // how many files gave a document
  std::set<std::string> pending_;              // files that are settled by the next commit
  std::set<std::string> touched_;              // documents removed or replaced, whose near-duplicates may be wanted now
  std::set<std::string> reread_;               // files that give a document which another one gave too, and gave up
  std::set<std::string> folders_;
};

}  // namespace wenqu::retrieval
