// Keeps the vectors of an index in step with its documents: gathers what is added and removed, embeds what is new, and
// writes it beside the commit. A passage whose text had a vector before is not embedded again, wherever it stood.
//
// Each commit writes a segment of its new vectors; segments of a size are joined when there are eight of them, and one
// with many deletions is written again, so that a vector is written a few times in all.
//
// Thread safety: one thread at a time.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "retrieval/embed.h"
#include "retrieval/passage.h"
#include "retrieval/store/manifest.h"
#include "retrieval/vectors/vector_set.h"

namespace wenqu::retrieval {

class VectorWriter {
 public:
  // From the vectors of the last commit (null: none), which were made by the same model. Errors: version_mismatch (by
  // another one), invalid_argument (a model that cannot be meant).
  static Result<std::unique_ptr<VectorWriter>> create(const IndexPaths& paths, EmbeddingModel model, std::shared_ptr<const VectorSet> last);

  // What the document's passages are now, its vectors before are dropped. Texts of several documents are given to the
  // model together. After an error this document is as it was, and the texts of others wait for the next call. Errors:
  // as of embed_texts(), naming the documents whose texts the model was given.
  Status add(const std::string& document_id, std::string_view title, std::span<const Passage> passages);
  void remove(const std::string& document_id);
  // Whether the vectors of a document are those of these passages.
  bool has(const std::string& document_id, std::string_view title, std::span<const Passage> passages) const;
  // The ids of all documents that have vectors.
  std::set<std::string> documents() const;

  // Writes what the commit needs and lists it in the manifest, which has the commit's number; all is durable then. What a call
  // before wrote for a commit that failed is listed again, or removed first where there were changes since. Errors: as add(),
  // io_error, out_of_memory.
  Status write(Manifest& manifest);
  // Before that manifest is written, which may come to the front whatever is said of it: its files stay until a later commit lasts.
  void keep_written() { written_.clear(); }
  // Has the next commit make one segment of all, without what was deleted. False, and nothing is done, when that is so
  // already.
  bool join_all();
  // After the manifest lasts: this is the last commit now.
  void committed();
  // Back to the last commit. A child that was forked leaves the files to its parent.
  void roll_back();
  const std::shared_ptr<const VectorSet>& last() const { return last_; }
  uint64_t embedded() const { return embedded_; }   // texts that the model was given

  struct KeyHash {
    size_t operator()(const VectorKey& key) const {
      size_t hash;
      static_assert(sizeof hash <= sizeof key);
      std::memcpy(&hash, key.data(), sizeof hash);
      return hash;
    }
  };

 private:
  // The vector of a text that is new.
  struct Fresh {
    std::vector<float> vector;   // empty while it waits
    size_t passages = 0;         // of pending documents, that have the text
  };
  struct Waiting {
    VectorKey key;
    std::string text;
    std::string document_id;     // which brought it
  };

  VectorWriter(const IndexPaths& paths, EmbeddingModel model, std::shared_ptr<const VectorSet> last);

  const float* find(const VectorKey& key) const;
  void release(const std::vector<VectorKey>& keys);
  Status embed_waiting();
  Status write_files(Manifest& manifest);
  void remove_written();
  Result<std::vector<VectorSet::Part>> parts_of_commit();
  Result<VectorSet::Part> join(const std::vector<const VectorSet::Part*>& parts, bool with_pending);
  Status write_file(const std::string& name, std::string_view bytes, ManifestFile& entry);

  const IndexPaths paths_;
  const EmbeddingModel model_;
  const pid_t owner_;                       // the process that opened it
  std::shared_ptr<const VectorSet> last_;   // null before the first commit
  std::shared_ptr<const VectorSet> next_;   // written, not yet committed; null after a change
  std::vector<ManifestFile> next_files_;    // of next_
  std::vector<std::string> written_;        // files that no manifest has yet
  std::vector<VectorSet::Part> parts_;      // last_'s, with what was deleted since
  std::map<std::string, std::vector<VectorKey>> pending_;   // documents added since, with their passages' keys
  std::unordered_map<VectorKey, Fresh, KeyHash> fresh_;
  std::vector<Waiting> waiting_;                            // texts to embed; each is in fresh_
  uint64_t embedded_ = 0;
  bool joins_all_ = false;
};

// Removes what neither manifest names from the folder of vectors.
void collect_vector_garbage(const IndexPaths& paths, const Manifest* newest, const Manifest* previous);

}  // namespace wenqu::retrieval
