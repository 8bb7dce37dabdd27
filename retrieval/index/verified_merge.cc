#include "retrieval/index/verified_merge.h"

#include <lucene++/MergePolicy.h>
#include <lucene++/SegmentInfo.h>
#include <lucene++/SegmentInfos.h>

#include <utility>

#include "retrieval/store/lucene_call.h"
#include "retrieval/store/stream.h"

namespace wenqu::retrieval {

VerifiedMergePolicy::VerifiedMergePolicy(const Lucene::IndexWriterPtr& writer, Verify verify)
    : LogByteSizeMergePolicy(writer), verify_(std::move(verify)) {}

Lucene::MergeSpecificationPtr VerifiedMergePolicy::findMerges(const Lucene::SegmentInfosPtr& segments) {
  Lucene::MergeSpecificationPtr found = LogByteSizeMergePolicy::findMerges(segments);
  if (!found) return found;
  for (const Lucene::OneMergePtr& merge : found->merges)
    for (int32_t i = 0; i < merge->segments->size(); ++i)
      for (const Lucene::String& name : merge->segments->info(i)->files())
        if (const Status status = verify_(from_wide(name)); !status) {
          if (status.code() != StatusCode::corrupt) throw_lucene_io(status);
          boost::throw_exception(Lucene::CorruptIndexException(to_wide(status.to_string())));
        }
  return found;
}

}  // namespace wenqu::retrieval
