// A segment, open for reading: what of it never changes. It is opened once and shared by all commits that have it;
// the deletions of each are theirs.
//
// Thread safety: immutable; any number of threads may use one.
#pragma once

#include <lucene++/Lucene.h>
#include <lucene++/Array.h>

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "retrieval/index/deletions.h"
#include "retrieval/index/schema.h"
#include "retrieval/store/directory.h"

namespace wenqu::retrieval {

// What passages and records there are, and how long their fields.
struct SegmentCounts {
  uint64_t documents = 0;
  uint64_t passages = 0;
  // How many passages have each length code, by field.
  std::array<std::array<uint32_t, 256>, kTermFields> lengths{};
};

class OpenSegment {
 public:
  // What stands at a place of the index.
  enum Kind : uint8_t { kRecord = 254, kDeleted = 255 };  // below: a passage of that Source

  // `files` are those of the segment, its deletions aside. Errors: corrupt, io_error.
  static Result<std::shared_ptr<const OpenSegment>> open(const Lucene::SegmentInfoPtr& info, CommittedFiles files);
  ~OpenSegment();

  const std::string& name() const { return name_; }
  int32_t size() const { return size_; }
  uint64_t bytes() const;
  // The files it was opened from.
  const CommittedFiles& files() const { return files_; }
  // The reader of all its documents, none deleted.
  const Lucene::SegmentReaderPtr& reader() const { return reader_; }
  // A reader that passes over what the file says is deleted. Throws what Lucene++ throws.
  Lucene::IndexReaderPtr reader_without(const Lucene::SegmentInfoPtr& info, const std::string& deletions_name,
                                        const std::shared_ptr<const CommittedFile>& deletions_file) const;
  // Of each document; none deleted.
  const std::vector<uint8_t>& kinds() const { return kinds_; }
  const std::array<Lucene::ByteArray, kTermFields>& lengths() const { return lengths_; }
  // Without those that are deleted.
  SegmentCounts counts(const Deletions* deletions) const;

  // The place of each document's id among those of the segment, which its passages have too; made at the first call,
  // which takes a while for a large segment. Throws what Lucene++ throws.
  const std::vector<int32_t>& id_places() const;

  // False only when no document of the segment has the id; a sketch of them is made when it has often been asked.
  // REQUIRES: one thread at a time. Throws what Lucene++ throws.
  bool may_hold(const std::string& document_id) const;

  // The stretch of a file that is the part of the segment with this ending, such as "frq"; empty when there is none.
  Result<ByteSource> part(const std::string& ending) const;
  // The first of the documents in the store it may share with other segments.
  int32_t store_offset() const { return store_offset_; }

 private:
  OpenSegment() = default;
  void load(const Lucene::SegmentInfoPtr& info);

  std::string name_;
  int32_t size_ = 0;
  std::string store_name_;       // where the stored fields lie
  int32_t store_offset_ = 0;
  CommittedFiles files_;
  mutable std::mutex reopen_mutex_;
  boost::shared_ptr<CommitDirectory> directory_;
  Lucene::SegmentReaderPtr reader_;
  std::vector<uint8_t> kinds_;
  std::array<Lucene::ByteArray, kTermFields> lengths_;
  SegmentCounts counts_;
  mutable std::mutex places_mutex_;
  mutable std::vector<int32_t> id_places_;
  mutable uint32_t asked_ = 0;
  mutable std::vector<uint64_t> id_sketch_;   // a Bloom filter, four bits of one word for each id; empty: not made
};

// The files of the segment among `all`, without its deletions. Throws what Lucene++ throws.
CommittedFiles segment_files(const Lucene::SegmentInfoPtr& info, const CommittedFiles& all);
// The name of the file of its deletions; empty when it has none.
std::string deletions_name(const Lucene::SegmentInfoPtr& info);

std::wstring kind_of_source(Source source);

}  // namespace wenqu::retrieval
