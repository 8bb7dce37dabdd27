// Brings an index of an older analysis, or of other words, to this one: every document is kept whole, so its terms can
// be made again.
//
// Thread safety: free function.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/vocabulary.h"

namespace wenqu::retrieval {

struct MigrationReport {
  int from = 0;              // version of the analysis before
  int to = 0;
  uint64_t documents = 0;    // analysed again; 0 where nothing had to be done
};

// Writes all documents again beside what stands there, and makes that the index in one step: whenever it ends early,
// the index is as before. Takes as much space again until the next commits. `progress` (may be empty) is told how many
// documents of how many are done. `vocabulary` is what the index is taught thereby. Errors: not_found, busy (open for
// writing), corrupt, io_error, cancelled, invalid_argument (of the vocabulary), and version_mismatch for an index of a
// newer version.
Result<MigrationReport> migrate_index(const std::string& directory,
                                      const std::function<void(uint64_t done, uint64_t all)>& progress,
                                      const CancelToken& cancel, const VocabularyChange& vocabulary = {});

}  // namespace wenqu::retrieval
