#include "retrieval/index/merge_job.h"

#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

// Merges above this size are written into a file for each part, as compound ones are gathered in memory.
constexpr uint64_t kMaxCompoundBytes = uint64_t{16} << 20;

}  // namespace

Status MergeJob::run(const CancelToken& cancel) {
  const uint32_t documents = surviving_documents(sources_);
  uint64_t bytes = 0;
  for (const MergeSource& source : sources_) bytes += source.segment->bytes();
  const auto shape = bytes > kMaxCompoundBytes ? SegmentOutput::Shape::files : SegmentOutput::Shape::compound;
  if (documents > 0) {
    WENQU_ASSIGN_OR_RETURN(auto output, SegmentOutput::create(*directory_, name_, shape));
    Status status = merge_segments(sources_, *output, cancel);
    // What lasts before the commit needs no time there.
    for (const std::string& name : output->files())
      if (const auto file = directory_->written(name); status && file) status = file->sync();
    if (status) {
      auto finished = open_finished(directory_, *output, documents);
      status = finished.status();
      // Searches will need it, and should not have to wait for it.
      if (finished) status = call_lucene("ordering the documents", [&] { (void)finished->open->id_places(); });
      if (status) merged_ = std::move(*finished);
    }
    if (!status) {
      for (const std::string& name : output->files()) directory_->remove(name);
      return status;
    }
  }
  done_ = true;
  return {};
}

void MergeJob::drop() {
  for (const ManifestFile& entry : merged_.entries) directory_->remove(entry.name);
}

}  // namespace wenqu::retrieval
