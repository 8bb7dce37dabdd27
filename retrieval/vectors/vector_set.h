// The vectors of one commit: segments, what of them was deleted since they were written, and the model that made them.
//
// On disk, in the folder `vectors` of the index: `cN.set` with the model, the commit and the deletions, and a file
// `sN.vec` for each segment. The manifest lists them with their checksums, as all files; none is ever changed.
//
// Thread safety: immutable after open(); any number of threads may use one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/store/manifest.h"
#include "retrieval/vectors/segment.h"

namespace wenqu::retrieval {

class VectorSet {
 public:
  struct Part {
    std::shared_ptr<const VectorSegment> segment;
    ManifestFile file;             // name empty: not written yet
    std::vector<bool> deleted;     // by entry
    size_t deleted_count = 0;
    size_t live() const { return segment->size() - deleted_count; }
  };

  VectorSet(std::string identity, size_t dimensions, uint64_t commit, std::vector<Part> parts)
      : identity_(std::move(identity)), dimensions_(dimensions), commit_(commit), parts_(std::move(parts)) {}

  // Reads the files that the manifest lists and holds them against it; segments that `earlier` (may be null) has are
  // shared with it. Errors: not_found (the commit has no vectors, or a file is gone), corrupt, io_error, out_of_memory.
  static Result<std::shared_ptr<const VectorSet>> open(const IndexPaths& paths, const Manifest& manifest, const VectorSet* earlier);

  // The content of the set's own file.
  std::string encode() const;

  const std::string& identity() const { return identity_; }
  size_t dimensions() const { return dimensions_; }
  uint64_t commit() const { return commit_; }   // that these vectors are of; a later one may have gone without
  const std::vector<Part>& parts() const { return parts_; }
  size_t size() const;                           // without those deleted

  struct Neighbour {
    const std::string* document_id;   // the set's
    uint32_t ordinal;                 // of the passage
    const VectorKey* key;             // the set's
    float similarity;                 // cosine
  };
  // About the `count` nearest to a query of length 1, nearest first; ties by document id, then ordinal. Only entries of
  // parts that `accept` takes; empty: all.
  using Accept = std::function<bool(size_t part, uint32_t entry)>;
  Result<std::vector<Neighbour>> nearest(std::span<const float> query, size_t count, const Accept& accept = {}) const;

 private:
  std::string identity_;
  size_t dimensions_;
  uint64_t commit_;
  std::vector<Part> parts_;
};

// Reads the files of vectors that the manifest lists from the disk again and holds them against it.
// Errors: corrupt, not_found, io_error, naming the file; cancelled.
Status check_vector_files(const IndexPaths& paths, const Manifest& manifest, const CancelToken& cancel);

// Whether a file in the folder of vectors is of our making.
bool is_vector_file(const std::string& name);

}  // namespace wenqu::retrieval
