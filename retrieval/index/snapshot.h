// One commit of an index, open for searching.
//
// Thread safety: immutable after open(); any number of threads may use one. Lifetime: holds its
// files open, so it stays whole whatever writers do.
#pragma once

#include <lucene++/Lucene.h>
#include <lucene++/Array.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/analysis/lexicon.h"
#include "retrieval/index/open_segment.h"
#include "retrieval/index/passage_filter.h"
#include "retrieval/index/postings_cache.h"
#include "retrieval/index/schema.h"
#include "retrieval/passage.h"
#include "retrieval/store/directory.h"
#include "retrieval/store/manifest.h"

namespace wenqu::retrieval {

class Snapshot {
 public:
  // What stands at a place of the index.
  enum Kind : uint8_t { kRecord = OpenSegment::kRecord, kDeleted = OpenSegment::kDeleted };

  struct Segment {
    std::shared_ptr<const OpenSegment> open;         // shared with other snapshots that have it
    std::shared_ptr<const CommittedFile> deletions_file;   // null when nothing of it is deleted
    std::shared_ptr<const Deletions> deletions;      // of that file
    SegmentCounts counts;
    Lucene::IndexReaderPtr reader;                   // passes over what is deleted
    std::string collection;                          // of a combined snapshot
    int32_t base = 0;                                // number of its first Lucene document
    int32_t size = 0;
    uint64_t number = 0;                             // of the segment in the cache of postings
    std::array<Lucene::ByteArray, kTermFields> lengths;  // codes by Lucene document; may be null

    const uint8_t* lengths_of(TermField field) const {
      const Lucene::ByteArray& codes = lengths[static_cast<size_t>(field)];
      return codes ? codes.get() : nullptr;
    }
  };

  // Verifies every file against the manifest; those that `earlier` (may be null) has verified
  // already are shared with it, and what is open of its segments. `opened` are further segments that are open
  // already. The work is as much as is new. Errors: corrupt, not_found (a file is gone), io_error.
  static Result<std::shared_ptr<const Snapshot>> open(
      const IndexPaths& paths, const Manifest& manifest, const Snapshot* earlier,
      const std::vector<std::shared_ptr<const OpenSegment>>& opened = {});
  // Several as if they were one; `names` say which is which. What is known of the segments that `earlier` (may be null)
  // has too is shared with it. Errors: version_mismatch, where their documents were not analysed alike.
  static Result<std::shared_ptr<const Snapshot>> combine(std::vector<std::shared_ptr<const Snapshot>> parts,
                                                         const std::vector<std::string>& names, const Snapshot* earlier);
  ~Snapshot();

  // Holds one file against its checksum again; ok for one that is not of this commit.
  Status verify(const std::string& file) const;
  // Reads every file from the disk again and holds it against its checksum.
  // Errors: corrupt, io_error, naming the file; cancelled.
  Status scrub(const CancelToken& cancel) const;

  // Of a combined one: no file, and the sum of the commits.
  const Manifest& manifest() const { return manifest_; }
  const CommittedFiles& files() const { return files_; }
  // What it was combined of; empty for one commit.
  const std::vector<std::shared_ptr<const Snapshot>>& parts() const { return parts_; }
  // The name of the part that the Lucene document is from; empty for one commit.
  const std::string& collection_of(int32_t doc) const;
  const std::vector<Segment>& segments() const { return segments_; }
  // Reads the postings of a segment of this snapshot. REQUIRES: neither goes while it is used
  PostingsReader postings(const Segment& segment) const { return PostingsReader(*postings_, segment.open->reader(), segment.number); }
  // What its owner taught it; never null. Of a combined one all synonyms.
  const std::shared_ptr<const Lexicon>& lexicon() const { return lexicon_; }
  // The name of the file that holds it; empty where there is none.
  const std::string& vocabulary_file() const { return vocabulary_file_; }
  // A Kind or Source for each Lucene document of all segments.
  const std::vector<uint8_t>& kinds() const { return kinds_; }
  uint64_t documents() const { return documents_; }
  uint64_t passages() const { return passages_; }
  uint64_t bytes() const;
  // Mean length of the passages that have the field; 1 when none has.
  double average_length(TermField field) const { return average_lengths_[static_cast<size_t>(field)]; }
  // How many passages hold the term, those deleted since the last merge included.
  Result<uint64_t> holders(TermField field, const std::wstring& term) const;

  // The passages that a search with this filter may find.
  const PassageFilter& filter() const { return filter_; }

  // The Lucene document of the record that passage `doc` belongs to. REQUIRES: doc is a passage
  int32_t record_of(int32_t doc) const;
  // Keeps the `wanted` first of the passages `docs`, in the order of their documents' ids, then of their places.
  Status keep_first_by_id(std::vector<int32_t>& docs, size_t wanted) const;

  // The number of the record of `document_id`. Errors: not_found.
  Result<int32_t> find(const std::string& document_id) const;
  // Everything but the text, or everything. REQUIRES: doc is a record
  Result<Document> read_document(int32_t doc, bool with_text) const;
  // All but document_id. REQUIRES: doc is a passage
  Result<Passage> read_passage(int32_t doc) const;

 private:
  Snapshot() : filter_(*this) {}
  Status load_lexicon(const Snapshot* earlier);
  Status join_lexicons();
  Status load_segments(const Snapshot* earlier, const std::vector<std::shared_ptr<const OpenSegment>>& opened);
  void join_segments();
  Status load_segment(const Lucene::SegmentInfoPtr& info, const Snapshot* earlier,
                      const std::vector<std::shared_ptr<const OpenSegment>>& opened, Segment& segment);
  void number_segments(const Snapshot* earlier);
  void load_kinds(const Segment& segment);
  void load_average_lengths();

  Manifest manifest_;
  CommittedFiles files_;
  std::shared_ptr<const Lexicon> lexicon_ = Lexicon::plain();
  std::string vocabulary_file_;
  Lucene::IndexReaderPtr reader_;   // of all segments
  std::vector<Segment> segments_;
  std::shared_ptr<PostingsCache> postings_;
  std::vector<std::shared_ptr<const Snapshot>> parts_;
  std::vector<uint8_t> kinds_;
  std::array<double, kTermFields> average_lengths_{};
  uint64_t documents_ = 0;
  uint64_t passages_ = 0;
  PassageFilter filter_;
};

}  // namespace wenqu::retrieval
