// Keeps damage from being merged: what a merge copies from a file that was damaged since it was opened would
// get a fresh checksum, and look whole for ever.
#pragma once

#include <lucene++/LuceneHeaders.h>
#include <lucene++/LogByteSizeMergePolicy.h>

#include <functional>
#include <string>

#include "base/status.h"

namespace wenqu::retrieval {

// Lucene++'s own choice of merges, each of whose files passes `verify` before it is merged; what does not is
// thrown as Lucene::CorruptIndexException or IOException. Thread safety: as the writer's.
class VerifiedMergePolicy : public Lucene::LogByteSizeMergePolicy {
 public:
  using Verify = std::function<Status(const std::string& name)>;
  VerifiedMergePolicy(const Lucene::IndexWriterPtr& writer, Verify verify);

  Lucene::MergeSpecificationPtr findMerges(const Lucene::SegmentInfosPtr& segments) override;

 private:
  Verify verify_;
};

}  // namespace wenqu::retrieval
