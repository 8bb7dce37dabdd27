// What a search does besides words, where there are models for it: finds passages by the vector of the question, fuses
// them with those that words found, and has the best ones ranked again.
//
// Thread safety: all members from any thread.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/embed.h"
#include "retrieval/hybrid/rerank.h"
#include "retrieval/index/passage_set.h"
#include "retrieval/index/snapshot.h"
#include "retrieval/rank/ranking.h"
#include "retrieval/retriever.h"
#include "retrieval/vectors/vector_set.h"

namespace wenqu::retrieval {

class HybridSearch {
 public:
  HybridSearch(const IndexPaths& paths, EmbeddingModel model, RerankFunction rerank)
      : paths_(paths), model_(std::move(model)), rerank_(std::move(rerank)) {}

  // Makes the vectors of that commit those that are searched; does nothing without a model. Errors: version_mismatch
  // (they were made by another model), corrupt, io_error; the vectors before stay.
  Status load(const Snapshot& snapshot);
  // The same of vectors that somebody has read already; null: none.
  void show(std::shared_ptr<const VectorSet> vectors);
  std::shared_ptr<const VectorSet> vectors() const;

  // Whether the request is answered with vectors. Errors: invalid_argument (options out of range); unsupported, when
  // the request insists on them and there is no model or there are no vectors.
  Result<bool> is_dense(const HybridOptions& options) const;
  Result<bool> reranks(const HybridOptions& options) const { return is_reranked(rerank_, options); }

  // The question's vector; empty where nothing is to be found by it. Errors: those of the model.
  Result<std::vector<float>> vector_of(const std::string& question, const CancelToken& cancel) const;

  // Passages of `among` (null: of all) by their vectors, best first: `count` or fewer.
  Result<std::vector<ScoredPassage>> find(const Snapshot& snapshot, const std::vector<float>& vector, const PassageSet* among, size_t count,
                                          const CancelToken& cancel) const;

  // Fuses what words found with so many of find(); best first. Gives how many these were.
  Result<size_t> fuse_dense(const Snapshot& snapshot, const SearchRequest& request, const std::vector<float>& vector, const PassageSet* among,
                            size_t count, const CancelToken& cancel, std::vector<ScoredPassage>& best) const;

  // Puts the first hits in the order that the reranking model gives them, with its scores; those behind keep their order.
  Status rerank(const SearchRequest& request, const CancelToken& cancel, std::vector<Hit>& hits) const {
    return rerank_hits(rerank_, request, cancel, hits);
  }

 private:
  // Where each vector's passage stands in a snapshot; -1: nowhere.
  struct Places {
    Manifest manifest;                        // of the snapshot
    std::shared_ptr<const VectorSet> vectors;
    std::vector<std::vector<int32_t>> docs;   // [part][entry]
  };
  Result<std::shared_ptr<const Places>> places(const Snapshot& snapshot, const std::shared_ptr<const VectorSet>& set, const CancelToken& cancel) const;

  const IndexPaths paths_;
  const EmbeddingModel model_;
  const RerankFunction rerank_;
  mutable std::mutex mutex_;
  std::shared_ptr<const VectorSet> vectors_;
  mutable std::shared_ptr<const Places> places_;   // of the last search that needed them
};

}  // namespace wenqu::retrieval
