// The passages of a snapshot that a search may find, by its filter; kept for the next search with the same one.
//
// Thread safety: any number of threads may use one.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "retrieval/document.h"
#include "retrieval/filter.h"
#include "retrieval/index/passage_set.h"

namespace wenqu::retrieval {

class Snapshot;

class PassageFilter {
 public:
  // REQUIRES: the snapshot outlives it
  explicit PassageFilter(const Snapshot& snapshot) : snapshot_(snapshot) {}

  // Null when all passages are meant. Errors: invalid_argument (no time), corrupt, io_error, out_of_memory.
  Result<std::shared_ptr<const PassageSet>> passages(const std::vector<Source>& sources, const Filter& filter) const;

 private:
  static constexpr size_t kMaxBytes = size_t{8} << 20;   // of sets that are kept

  const Snapshot& snapshot_;
  mutable std::mutex mutex_;
  mutable std::list<std::pair<std::string, std::shared_ptr<const PassageSet>>> kept_;  // the one used last in front
  mutable size_t bytes_ = 0;
};

}  // namespace wenqu::retrieval
