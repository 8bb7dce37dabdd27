// The one writer of an index: gathers changes, makes them visible, and makes them a commit that lasts.
//
// What is added is inverted in memory and becomes a segment when it is large or has to be seen; what is removed is
// marked. refresh() makes a snapshot of that, which this process may search, but nothing of it lasts yet. A commit is
// done in this order: our files are written; each new one is synchronised, then read back against the checksum of
// what was meant; the commit is opened and counted; the manifest is replaced. Whatever fails before the last step
// leaves the commit before as it was. Files of the last two commits are kept, and none is removed before the manifest
// that no longer needs it lasts.
//
// What fails loses nothing of the changes but, in add(), the document itself: each step can be taken again, and the next
// commit takes it. Only where nobody knows any more what was written (a file reads back as another, memory ended in the
// middle of a change) the changes since the last commit are dropped. Then every further change, refresh() and commit()
// says so, until the index is opened again: no answer is ok over a loss.
//
// Vectors, where they are kept, are part of the commit alone: what refresh() shows has those of the commit before, as
// far as they fit it. They go by document and text, so merges do not matter to them.
//
// Segments are merged in three steps, so that the long one goes on beside everything else: plan_merge(), MergeJob::run(),
// finish_merge(). A merge that fails, or comes too late, leaves everything as it was.
//
// Thread safety: one thread at a time; only MergeJob::run() may go on beside.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "retrieval/analysis/analyzer.h"
#include "retrieval/index/inverter.h"
#include "retrieval/index/merge_choice.h"
#include "retrieval/index/merge_job.h"
#include "retrieval/index/segment_list.h"
#include "retrieval/index/snapshot.h"
#include "retrieval/store/manifest.h"
#include "retrieval/store/write_lock.h"
#include "retrieval/vectors/vector_writer.h"
#include "retrieval/vocabulary.h"

namespace wenqu::retrieval {

class Writer {
 public:
  struct Options {
    size_t buffer_bytes = size_t{64} << 20;   // of changes in memory, above which they become a segment
    size_t merge_factor = 10;                 // segments of a size that are merged
    // Reads an index of an older analysis too, and begins with no document of it: whoever asks for this gives them
    // all again, from snapshot(), before the first commit.
    bool analyse_again = false;
    // What the index is taught from its next commit on. Words and pinyin only where it holds no documents, or
    // analyses them again.
    VocabularyChange vocabulary;
  };
  // Creates what is missing, with the write lock before anything else of the index. Errors:
  // invalid_argument when the folder holds other things, busy, corrupt, version_mismatch (also of the vocabulary),
  // io_error.
  static Result<std::unique_ptr<Writer>> open(const IndexPaths& paths, const Options& options);
  ~Writer();

  // Keeps vectors beside the index from now on; those it lacks are made, and are there with the next commit. `again`:
  // all of them, whatever there was. Errors: version_mismatch (there are some of another model), corrupt, io_error,
  // those of the model.
  Status use_vectors(const EmbeddingModel& model, bool again);
  // Has the next commit make one segment of all vectors, if there are several.
  void join_vectors();
  // Those of the last commit, if they are kept; may be null.
  std::shared_ptr<const VectorSet> vectors() const { return vectors_ ? vectors_->last() : nullptr; }

  // REQUIRES: the document is valid as index.h asks, its strings are well-formed UTF-8
  Status add(const Document& document);
  Status remove(const std::string& document_id);
  // After an error the next call commits what this one did not.
  Status commit();
  // Makes a snapshot of all changes so far, which do not last before the next commit. Errors: as of add().
  Status refresh();

  // What is to be searched: the last commit, or what refresh() made of it since; null before the first.
  const std::shared_ptr<const Snapshot>& snapshot() const { return visible_; }
  // Whether there are changes that the snapshot lacks, or that do not last yet.
  bool has_unseen_changes() const { return unseen_; }
  bool has_uncommitted_changes() const { return changed_; }
  size_t segments() const { return segments_.size(); }

  // What should be merged now; null when nothing should.
  std::unique_ptr<MergeJob> plan_merge(MergeWish wish);
  // Puts the merged segment in the place of its sources, with what was deleted of them meanwhile. Commits that when
  // there are no other changes to commit. A merge that does not fit any more is dropped.
  Status finish_merge(std::unique_ptr<MergeJob> merge);

 private:
  Writer(IndexPaths paths, WriteLock lock, const Options& options)
      : paths_(std::move(paths)), lock_(std::move(lock)), options_(options), segments_(paths_.lucene) {}

  Status start();           // from the commit on disk
  Status ensure_started();  // start(), unless that is done
  Status learn();           // what the commit has, and what the options teach
  Status take_over(Vocabulary wanted);
  void stop();                      // drops what is not committed
  Status lose(const Status& why);   // stop(); gives what is to be said of it, from now on
  Status keep(const Status& why) const;
  Status lose_or_keep(const Status& why);
  template <typename Call>
  Status change(Call&& make);
  void delete_document(const std::string& document_id, const std::vector<SegmentList::Place>& places);
  Status replace_document(const Document& document);
  Status make_room();
  Status write_buffer();
  Status write_vocabulary();
  Status write_all();
  Status show();            // refresh(), where something is to be shown
  Result<Manifest> describe(bool lasting);
  Result<std::shared_ptr<const Snapshot>> open_snapshot(const Manifest& manifest);
  Status write_vectors(Manifest& manifest);
  Status publish(const Manifest& manifest);

  const IndexPaths paths_;
  WriteLock lock_;
  const Options options_;
  std::shared_ptr<const Lexicon> lexicon_ = Lexicon::plain();
  Analyzer analyzer_;                              // by it
  std::string vocabulary_file_;                    // that holds it; empty for none
  bool vocabulary_unwritten_ = false;
  std::shared_ptr<const Snapshot> committed_;
  std::shared_ptr<const Snapshot> visible_;
  SegmentList segments_;                           // closed when stopped
  Inverter buffer_;
  Status buffer_written_;                          // what became of the last attempt
  std::unique_ptr<VectorWriter> vectors_;          // null: none are kept
  bool changed_ = false;        // since the last commit, by add() and remove()
  uint64_t changes_ = 0;        // how often, by these
  bool unseen_ = false;         // since the snapshot, by these
  bool uncommitted_merge_ = false;
  Status lost_;  // that changes since the last commit were dropped, and why; ok when none were
};

}  // namespace wenqu::retrieval
