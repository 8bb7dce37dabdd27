// Reads what is stored of passages and their documents for one search, each once: what the ranking has read to look at a
// passage, the hit made of it needs again.
//
// Thread safety: one thread at a time. Lifetime: the snapshot outlives it.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "base/status.h"
#include "retrieval/index/snapshot.h"

namespace wenqu::retrieval {

class PassageReader {
 public:
  explicit PassageReader(const Snapshot& snapshot) : snapshot_(snapshot) {}
  PassageReader(const PassageReader&) = delete;
  PassageReader& operator=(const PassageReader&) = delete;

  const Snapshot& snapshot() const { return snapshot_; }
  // All but document_id. Stays where it is. REQUIRES: doc is a passage. Errors: corrupt, io_error
  Result<const Passage*> passage(int32_t doc);
  // The same for its last use: it is kept no longer.
  Result<Passage> take_passage(int32_t doc);
  // Of the passage, all but text, marks and passages. Stays where it is. REQUIRES: doc is a passage. Errors: corrupt, io_error
  Result<const Document*> document(int32_t doc);

 private:
  const Snapshot& snapshot_;
  std::map<int32_t, Passage> passages_;
  std::map<int32_t, Document> documents_;   // by record
};

}  // namespace wenqu::retrieval
