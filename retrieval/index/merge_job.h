// The long part of a merge: several neighbouring segments become one, beside everything else that goes on.
//
// Thread safety: one thread at a time; not the writer's, if that is better.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/index/finished_segment.h"
#include "retrieval/index/segment_merge.h"
#include "retrieval/store/directory.h"

namespace wenqu::retrieval {

class MergeJob {
 public:
  // The new segment goes into `directory` under `name`.
  MergeJob(std::vector<MergeSource> sources, std::string name, boost::shared_ptr<WriterDirectory> directory)
      : sources_(std::move(sources)), name_(std::move(name)), directory_(std::move(directory)) {}

  // Its files last when it is ok, and none of them is there when it is not. `cancel` ends it early. Errors: corrupt,
  // io_error, cancelled.
  Status run(const CancelToken& cancel);

  bool is_done() const { return done_; }
  const std::vector<MergeSource>& sources() const { return sources_; }
  const boost::shared_ptr<WriterDirectory>& directory() const { return directory_; }
  const FinishedSegment& merged() const { return merged_; }
  // Takes away what run() made.
  void drop();

 private:
  const std::vector<MergeSource> sources_;
  const std::string name_;
  const boost::shared_ptr<WriterDirectory> directory_;
  FinishedSegment merged_;
  bool done_ = false;
};

}  // namespace wenqu::retrieval
