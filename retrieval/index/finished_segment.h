// A segment that was just written, opened from its files as they are meant to be.
//
// Thread safety: free functions.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "retrieval/index/open_segment.h"
#include "retrieval/index/segment_output.h"
#include "retrieval/store/directory.h"
#include "retrieval/store/manifest.h"

namespace wenqu::retrieval {

struct FinishedSegment {
  std::vector<ManifestFile> entries;   // of its files
  Lucene::SegmentInfoPtr info;
  std::shared_ptr<const OpenSegment> open;   // null when it has no document
};

// As Lucene++ calls its segments: an underscore and the number to the base of 36.
std::string segment_name(int32_t number);

// What a manifest says of a file that was created in the folder and is still open. Errors: internal (it was not), io_error.
Result<ManifestFile> entry_of(const WriterDirectory& directory, const std::string& name);

// REQUIRES: the output is finished. Errors: io_error, corrupt.
Result<FinishedSegment> open_finished(const boost::shared_ptr<WriterDirectory>& directory, const SegmentOutput& output, uint32_t documents);

}  // namespace wenqu::retrieval
