// Looks an index over, and mends one whose newest commit is damaged by going back to the one before it.
//
// Thread safety: free functions; any number at once, also while the index is read and written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"

namespace wenqu::retrieval {

// What was found of one commit.
struct CommitCheck {
  uint64_t commit = 0;          // 0: its manifest cannot be read, or nothing was committed
  std::string written_at;       // UTC, as in "2026-11-25 10:02:03"; of the manifest file
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t documents = 0;       // 0 unless whole
  uint64_t passages = 0;
  uint64_t vectors = 0;         // of passages; 0 unless whole
  std::vector<Status> damage;   // each with its file; empty when the commit is whole
  std::vector<Status> vector_damage;   // that of the vectors, without which an index can be searched by words
  bool whole() const { return damage.empty() && vector_damage.empty(); }
};

struct IndexCheck {
  CommitCheck newest;
  CommitCheck previous;   // commit 0 and whole, when there is none to go back to
  bool can_go_back() const { return previous.commit != 0 && previous.damage.empty(); }
  // Nothing but vectors is lost when the newest commit goes on without them.
  bool can_drop_vectors() const { return newest.commit != 0 && newest.damage.empty() && !newest.vector_damage.empty(); }
};

// Holds every file of the last two commits against its manifest, then opens them and walks all they hold:
// every document, passage and posting. What is damaged is in the result.
// Errors: not_found (no index), version_mismatch, io_error, busy (commits come too fast), cancelled.
Result<IndexCheck> check_index(const std::string& directory, const CancelToken& cancel);

// Takes the vectors out of the newest commit when nothing else of it is damaged: they can be made again. Else makes the
// commit before the newest the newest, when that one is damaged and this one whole; changes nothing otherwise. Gives what check_index() found before. What the lost commit added, replaced or removed
// has to be given to the index again.
// Errors: as above; busy while the index is open for writing; corrupt when there is nothing whole to go back
// to; io_error, changing nothing, when files cannot be read rather than being wrong.
Result<IndexCheck> repair_index(const std::string& directory, const CancelToken& cancel);

}  // namespace wenqu::retrieval
