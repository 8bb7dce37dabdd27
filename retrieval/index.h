// A searchable collection of documents on disk.
//
// One process at a time may hold an index open for writing; any number may read it, also while it
// is written. What a reader sees is the last commit (a writer's own searches too). After commit()
// has returned ok, the documents of that commit survive the death of the process and of the
// machine. A commit that fails leaves the previous one as it was; what was added and removed since is
// dropped then, as after a failed add, and has to be given again.
//
// Thread safety: search, fetch and stats from any thread; add, remove and commit are serialised
// inside and may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "retrieval/retriever.h"

namespace wenqu::retrieval {

struct IndexStats {
  uint64_t documents = 0;
  uint64_t passages = 0;
  uint64_t bytes = 0;    // on disk
  uint64_t commit = 0;   // number of the commit seen, 0 for an index never committed
};

class Index : public Retriever {
 public:
  enum class Mode {
    read,    // the index must exist
    write,   // created when absent; fails with `busy` while another writer holds it
  };

  // Errors: not_found, busy, corrupt, version_mismatch, io_error, and invalid_argument for writing into
  // a folder of other things; the message says how to mend it.
  static Result<std::unique_ptr<Index>> open(const std::string& directory, Mode mode);

  // Adds the document, replacing the one of the same id. Ill-formed UTF-8 is replaced by U+FFFD.
  // Seen by searches and safe after the next commit(). Errors: invalid_argument (empty id, id over
  // 512 bytes), limit_exceeded (text over 64 MiB), io_error; unsupported when opened for reading.
  virtual Status add(const Document& document) = 0;
  // Removing what is not there is no error.
  virtual Status remove(const std::string& document_id) = 0;
  virtual Status commit() = 0;
  // Makes the newest commit of any process the one that is searched; cheap when nothing changed.
  virtual Status refresh() = 0;
  // Reads all files of the commit that is searched from the disk again and holds them against their
  // checksums: for hosts that run for long, at night. Searches go on meanwhile. Errors: corrupt,
  // io_error, naming the file; cancelled.
  virtual Status scrub(const CancelToken& cancel) const = 0;
  virtual IndexStats stats() const = 0;
};

}  // namespace wenqu::retrieval
