// Makes one segment of several neighbours: what is deleted of them is left out, the order of the rest stays.
//
// Thread safety: free function; reads only what never changes, so it may go on beside searches and a writer.
#pragma once

#include <memory>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/index/deletions.h"
#include "retrieval/index/open_segment.h"
#include "retrieval/index/segment_output.h"

namespace wenqu::retrieval {

struct MergeSource {
  std::shared_ptr<const OpenSegment> segment;
  std::shared_ptr<const Deletions> deletions;   // null: none
};

// The documents that are left.
uint32_t surviving_documents(const std::vector<MergeSource>& sources);

// Every file is held against its checksum before it is read: damage must not be copied into a file that looks whole.
// `output` is finished; it is of no use after an error. Errors: corrupt, io_error, cancelled.
Status merge_segments(const std::vector<MergeSource>& sources, SegmentOutput& output, const CancelToken& cancel);

}  // namespace wenqu::retrieval
