// The one writer of an index: gathers changes and makes them a commit that lasts.
//
// A commit is done in this order: Lucene++ writes its files; we synchronise and checksum each new
// one; the commit is opened and counted; the manifest is replaced. Whatever fails before the last
// step leaves the commit before as it was. Files of the last two commits are kept, and none is removed
// before the manifest that no longer needs it lasts.
//
// Thread safety: one thread at a time.
#pragma once

#include <lucene++/LuceneHeaders.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

#include "base/status.h"
#include "retrieval/analysis/analyzer.h"
#include "retrieval/index/passage_fields.h"
#include "retrieval/index/snapshot.h"
#include "retrieval/store/directory.h"
#include "retrieval/store/manifest.h"
#include "retrieval/store/write_lock.h"

namespace wenqu::retrieval {

class Writer {
 public:
  // Creates what is missing, with the write lock before anything else of the index. Errors:
  // invalid_argument when the folder holds other things, busy, corrupt, version_mismatch, io_error.
  static Result<std::unique_ptr<Writer>> open(const IndexPaths& paths);
  ~Writer();

  // REQUIRES: the document is valid as index.h asks, its strings are well-formed UTF-8
  Status add(const Document& document);
  Status remove(const std::string& document_id);
  // After an error everything since the last commit is dropped; the next change starts from there.
  Status commit();

  // The last commit; null before the first.
  const std::shared_ptr<const Snapshot>& snapshot() const { return snapshot_; }

 private:
  Writer(IndexPaths paths, WriteLock lock) : paths_(std::move(paths)), lock_(std::move(lock)) {}

  Status start();           // from the commit on disk
  Status ensure_started();  // start(), unless that is done
  void stop();              // drops what is not committed
  Status fail(Status why);  // stop(), remembered for commit()
  Status delete_document(const std::string& document_id);
  Status write_passages(const Document& document);
  Status publish();
  Result<Manifest> describe_commit();
  void collect_garbage();

  IndexPaths paths_;
  WriteLock lock_;
  Analyzer analyzer_;
  PassageFields fields_;
  std::shared_ptr<const Snapshot> snapshot_;
  boost::shared_ptr<WriterDirectory> directory_;
  Lucene::IndexWriterPtr writer_;
  std::unordered_set<std::string> uncommitted_ids_;
  bool changed_ = false;
  Status lost_;  // why changes since the last commit were dropped, until commit() has said so
};

}  // namespace wenqu::retrieval
