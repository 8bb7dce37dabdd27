// A searchable collection of documents on disk.
//
// One process at a time may hold an index open for writing; any number may read it, also while it
// is written. What a reader sees is the last commit. A writer's own searches see that too, or, after
// make_visible(), what was added and removed since. After commit() has returned ok, the documents of
// that commit survive the death of the process and of the machine; what is only visible does not.
//
// An add that fails leaves out its document and nothing else. A commit that fails leaves the previous
// one as it was and keeps what was added and removed since, so that the next commit() makes it last
// (no space, too many open files, a model that is away). Only where it cannot be known any more what
// was written (a file reads back as another, memory ended in the middle of a change) those changes
// are dropped. From then on every add, remove, make_visible and commit fails with the same error, of
// so many documents since such a commit, until the index is opened again: nothing answers ok over a
// loss. In a cluster it is different: remote_index.h.
//
// A writer merges segments on a thread of its own, and, where its options ask for it, makes changes
// visible and commits them by itself.
//
// Thread safety: search, fetch and stats from any thread; add, remove and commit are serialised
// inside and may be called from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "retrieval/embed.h"
#include "retrieval/ranking_parameters.h"
#include "retrieval/retriever.h"
#include "retrieval/vocabulary.h"

namespace wenqu::retrieval {

struct IndexStats {
  uint64_t documents = 0;
  uint64_t passages = 0;
  uint64_t bytes = 0;    // on disk
  uint64_t commit = 0;   // number of the commit seen, 0 for an index never committed
  uint64_t vectors = 0;  // of passages, where the index was opened with an embedding model
};

// What an index may be opened with; all may be left out.
struct IndexModels {
  // For writing: passages get vectors, those that have none too. For reading: searches use them.
  EmbeddingModel embedding;
  RerankFunction rerank;
  bool embed_again = false;   // for writing: all vectors are made anew, also where another model made those there are
};

// For an index in an OpenSearch or Elasticsearch cluster, whose address stands where a directory would:
// https://[user@]host[:port]/name. See docs/remote.md.
struct RemoteOptions {
  std::string ca_file;            // PEM file of the authorities that are trusted; empty: WENQU_REMOTE_CA, or the system's
  std::string credentials_file;   // empty: WENQU_REMOTE_PASSWORD and others of the environment
  std::chrono::milliseconds timeout{30'000};   // of a request, with its repetitions
};

struct IndexOptions {
  // A document is found so long after add() at the latest, without a call of the host. 0: only after commit() or
  // make_visible(), and whole: a search never sees a part of what lies between two of them.
  std::chrono::milliseconds visible_within{0};
  // The same for the commit that makes it safe. 0: only commit() does. What fails is tried again each second;
  // upkeep_status() tells.
  std::chrono::milliseconds durable_within{0};
  // false: no thread is started; commit() merges what is due before it returns, and the two above do nothing.
  bool own_threads = true;
  size_t buffer_bytes = size_t{64} << 20;   // of changes in memory
  size_t merge_factor = 10;                 // as many segments of a size are merged; at least 2
  size_t search_threads = 1;                // that share a search of many postings; the result is the same
  size_t result_cache_bytes = size_t{4} << 20;   // of what was found, for who asks the same again; 0: none
  RankingParameters ranking;
  IndexModels models;
  RemoteOptions remote;
  // What the index is taught; kept with it, by the next commit. Words and pinyin decide what the terms of documents are:
  // once there are documents they can be changed by migrate_index() only. For reading: it must be what the index has.
  VocabularyChange vocabulary;
};

class Index : public Retriever {
 public:
  enum class Mode {
    read,    // the index must exist
    write,   // created when absent; fails with `busy` while another writer holds it
  };

  // `directory` may be the address of a cluster's index (RemoteOptions); remote_index.h tells what is different then.
  // Errors: not_found, busy, corrupt, version_mismatch (also where documents were analysed with other words), io_error,
  // and invalid_argument for writing into a folder of other things, or an unusable vocabulary; the message says how to
  // mend it. With an embedding model also version_mismatch, when the vectors are another model's, and its own errors.
  static Result<std::unique_ptr<Index>> open(const std::string& directory, Mode mode,
                                             const IndexOptions& options = IndexOptions());

  // Opens several for reading as if they were one; see collections.h. Documents of the same id stand beside each
  // other; fetch() gives that of the first. A directory in which nothing was committed yet is empty. They are searched
  // by words only.
  static Result<std::unique_ptr<Index>> open_together(const std::vector<std::string>& directories);

  // Adds the document, replacing the one of the same id. Ill-formed UTF-8 is replaced by U+FFFD.
  // Seen by searches and safe after the next commit(). After an error this document is not added, the one
  // of its id stays, and so do all others. Errors: invalid_argument (empty id, id over 512 bytes),
  // limit_exceeded (text over 64 MiB, or what document.h limits), io_error, those of the embedding model (io_error where it
  // refuses a text); unsupported when opened for reading; that of a loss, as said above. The model is given texts of
  // several documents at once: where it goes on refusing one, its errors name them, and remove() of that document mends it.
  virtual Status add(const Document& document) = 0;
  // Removing what is not there is no error.
  virtual Status remove(const std::string& document_id) = 0;
  // After an error the next call commits what this one did not, but after a loss. Errors: as of add(); corrupt, internal.
  virtual Status commit() = 0;
  // Lets this object's own searches see all changes so far. They do not last before the next commit(), and
  // are gone from sight again after a loss. Errors: as of commit().
  virtual Status make_visible() = 0;
  // Commits, and merges everything into one segment, which is searched fastest. Vectors become one graph, where the
  // index was opened with their model. Searches go on meanwhile, and changes but while that graph is built.
  // Errors: cancelled, corrupt (a file fails its checksum), io_error; the index is as good as before.
  virtual Status optimize(const CancelToken& cancel) = 0;
  // Why the last merge or automatic commit failed; ok when it did not.
  virtual Status upkeep_status() const = 0;
  // Makes the newest commit of any process the one that is searched; cheap when nothing changed. Errors: those of open;
  // cancelled, where a cluster is asked.
  virtual Status refresh(const CancelToken& cancel = {}) = 0;
  // Reads all files of the commit that is searched from the disk again and holds them against their
  // checksums: for hosts that run for long, at night. Searches go on meanwhile. Errors: corrupt,
  // io_error, naming the file; cancelled.
  virtual Status scrub(const CancelToken& cancel) const = 0;
  virtual IndexStats stats() const = 0;
};

}  // namespace wenqu::retrieval
