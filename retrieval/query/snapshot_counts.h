// How common terms are in a commit on the disk.
//
// Thread safety: one thread at a time. Lifetime: the snapshot outlives it.
#pragma once

#include <string>

#include "retrieval/index/snapshot.h"
#include "retrieval/query/term_counts.h"

namespace wenqu::retrieval {

class SnapshotCounts final : public TermCounts {
 public:
  explicit SnapshotCounts(const Snapshot& snapshot) : snapshot_(snapshot) {}
  uint64_t passages() const override { return snapshot_.passages(); }
  Result<uint64_t> holders(TermField field, const std::string& term) override { return snapshot_.holders(field, index_term(term)); }

 private:
  const Snapshot& snapshot_;
};

}  // namespace wenqu::retrieval
