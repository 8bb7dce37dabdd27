// Gathers changes of an index in a cluster and sends them in batches, passages with their terms and, where the index has
// such, their vectors. What could not be sent waits for the next call: a batch of changes and no more, as none is taken on
// top of a full one. To send a change again does no harm.
//
// Thread safety: all members from any thread; of changes of one document the last one counts. Lifetime: the cluster outlives it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "retrieval/analysis/lexicon.h"
#include "retrieval/document.h"
#include "retrieval/embed.h"
#include "retrieval/passage.h"
#include "retrieval/remote/cluster.h"

namespace wenqu::retrieval {

class RemoteWriter {
 public:
  // `lexicon`: what the index was taught. `model`: of the index's vectors; empty where it has none.
  RemoteWriter(const Cluster& cluster, std::shared_ptr<const Lexicon> lexicon, EmbeddingModel model)
      : cluster_(cluster), analyzer_(std::move(lexicon)), model_(std::move(model)) {}

  // REQUIRES: the document, or the id, is valid as index.h asks. Errors: those of the cluster and of the model, where a full
  // batch has to be sent before; then this change is not taken.
  Status add(Document document);
  Status remove(const std::string& document_id);
  // Sends everything, and `last` behind it.
  Status send_all(const std::vector<BulkItem>& last);

 private:
  // A document that is to be added, or removed, under its id.
  struct Change {
    Document document;
    bool removes = false;
  };

  // Of which a change consists.
  struct Parts {
    std::vector<Passage> passages;   // none: the document is removed
    std::vector<float> numbers;      // of their vectors, where the index has such
    uint32_t slots = 0;              // how many passages of the document there may be from before
  };

  Status change(Change change);
  bool has_room_for(const Change& change) const;
  Status flush();
  Result<Parts> parts_of(const Document& document) const;
  void append(const std::string& id, const Document& document, const Parts& parts, std::vector<BulkItem>& items) const;
  Status send(std::vector<BulkItem>& items, size_t least) const;
  Status send_some(std::span<const BulkItem> items) const;

  const Cluster& cluster_;
  const Analyzer analyzer_;
  const EmbeddingModel model_;
  std::mutex mutex_;                       // of what follows; held while changes are sent
  std::map<std::string, Change> pending_;  // by document id
  size_t pending_bytes_ = 0;
};

}  // namespace wenqu::retrieval
