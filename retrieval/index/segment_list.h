// The segments of an index as its writer has them now, and their files: what of them is new, what lasts already, and what
// a manifest says of it all.
//
// Files that no commit has are gone with close(), but for a child that was forked, whose parent has them. Names never come
// back, as a merge may still write under one of before.
//
// Thread safety: one thread at a time; only a MergeJob may run beside.
#pragma once

#include <lucene++/Lucene.h>
#include <sys/types.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "retrieval/index/deletions.h"
#include "retrieval/index/inverter.h"
#include "retrieval/index/merge_choice.h"
#include "retrieval/index/merge_job.h"
#include "retrieval/index/open_segment.h"
#include "retrieval/index/snapshot.h"
#include "retrieval/store/directory.h"
#include "retrieval/store/manifest.h"

namespace wenqu::retrieval {

class SegmentList {
 public:
  explicit SegmentList(std::string folder) : folder_(std::move(folder)) {}
  ~SegmentList() { close(); }

  // Those of the commit; null: none yet. `without_documents`: it begins with none of them. Errors: io_error, corrupt.
  Status open(const Snapshot* committed, bool without_documents);
  bool is_open() const { return directory_ != nullptr; }
  void close();
  // REQUIRES: it is open, as for all that follows
  WriterDirectory& directory() { return *directory_; }

  size_t size() const { return live_.size(); }
  bool empty() const { return live_.empty(); }
  std::vector<std::shared_ptr<const OpenSegment>> opened() const;
  uint64_t surviving_documents() const;   // of all segments, as Lucene++ counts them

  // What was gathered becomes a segment, unless all of it was removed again. After an error it is gathered as before.
  // Errors: io_error.
  Status add(Inverter& gathered);
  // Where a document lies. Good until the segments change.
  struct Place {
    size_t segment = 0;
    uint32_t document = 0;
  };
  // What has this id. Errors: corrupt, io_error.
  Result<std::vector<Place>> find(const std::string& document_id) const;
  // Marks it as deleted.
  void remove(const std::vector<Place>& places);

  // A file of its own beside the segments, under a new name that begins with `prefix`. Errors: io_error.
  Result<std::string> add_file(std::string_view prefix, const std::string& content);
  void drop_file(const std::string& name);

  // Everything there is goes into files. What an error leaves unwritten is written by the next call. Errors: io_error.
  Status write();
  // The files of what there is now, and the `other` ones; those that are not new are described as `before` has them.
  // `lasting`: they are synchronised, and read back against what was meant. Errors: io_error, corrupt, internal.
  Result<std::vector<ManifestFile>> describe(const Manifest* before, const std::set<std::string>& others, bool lasting);
  // A commit has all files that describe() gave last.
  void committed();

  // What should be merged now; null when nothing should.
  std::unique_ptr<MergeJob> plan_merge(MergeWish wish, size_t factor);
  // Puts the merged segment in the place of its sources, with what was deleted of them meanwhile; false, and the merge is
  // dropped, when that does not fit any more.
  Result<bool> finish_merge(MergeJob& merge);

 private:
  // A segment as it is now.
  struct Live {
    Lucene::SegmentInfoPtr info;
    std::shared_ptr<const OpenSegment> open;
    std::shared_ptr<Deletions> deletions;   // null: none; shared with nobody while `deletions_unwritten`
    bool deletions_unwritten = false;
    uint32_t deleted() const { return deletions ? deletions->count() : 0; }
  };

  Deletions& changed_deletions(Live& live);
  void forget(const Live& live);
  void drop_empty_segments();
  Status write_deletions();
  Status write_segments_file();
  Status write_file(const std::string& name, const std::string& content);
  Status make_last(const ManifestFile& entry);

  const std::string folder_;
  const pid_t owner_ = ::getpid();                 // the process that opened it
  boost::shared_ptr<WriterDirectory> directory_;   // null when closed
  Lucene::SegmentInfosPtr infos_;
  std::string segments_file_;                      // the newest that was written; empty for none
  std::vector<Live> live_;
  std::map<std::string, ManifestFile> fresh_;      // files that no commit has yet
  std::set<std::string> lasting_;                  // those of them that were synchronised already
  std::set<std::string> doubtful_;                 // those whose synchronisation failed
  int32_t next_name_ = 0;
  bool rearranged_ = false;                        // since the segments file
};

}  // namespace wenqu::retrieval
