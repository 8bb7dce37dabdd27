// How common terms are among the passages of an index, wherever it lies.
//
// Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "retrieval/index/schema.h"

namespace wenqu::retrieval {

class TermCounts {
 public:
  virtual ~TermCounts() = default;
  virtual uint64_t passages() const = 0;
  // Passages that hold the term, a folded text, in that field; 0 for what an index cannot hold.
  virtual Result<uint64_t> holders(TermField field, const std::string& term) = 0;
};

}  // namespace wenqu::retrieval
