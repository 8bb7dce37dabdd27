// Searches an index in a cluster: asks how common the terms are, then for the passages that words and vectors find, looks
// at the best of them again and makes one list, all as a local index does (index.cc).
//
// Thread safety: all members from any thread. Lifetime: what it is made of outlives it.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/analysis/lexicon.h"
#include "retrieval/index.h"
#include "retrieval/remote/cluster.h"
#include "retrieval/remote/statistics.h"

namespace wenqu::retrieval {

class RemoteSearch {
 public:
  // `has_vectors`: the index has those of the options' embedding model.
  RemoteSearch(const Cluster& cluster, const RemoteStatistics& statistics, const IndexOptions& options, bool has_vectors)
      : cluster_(cluster), statistics_(statistics), options_(options), has_vectors_(has_vectors) {}

  // `lexicon`: what the index was taught. Errors: those of Retriever::search_all and of the cluster.
  Result<std::vector<SearchResponse>> search_all(std::span<const SearchRequest> requests, const std::shared_ptr<const Lexicon>& lexicon,
                                                 const CancelToken& cancel) const;

 private:
  struct Asked;

  Result<Asked> prepare(const SearchRequest& request, const Analyzer& analyzer) const;
  // So many hits are to be looked through for the answer, or as many as there can be.
  void list(Asked& asked, size_t listed) const;
  Status add_searches(const Asked& asked, std::vector<std::string>& bodies) const;
  Result<bool> is_dense(const HybridOptions& options) const;
  Status embed_questions(std::vector<Asked>& all, const CancelToken& cancel) const;
  Result<TermStatistics> add_other_words(std::vector<Asked>& all, const std::shared_ptr<const Lexicon>& lexicon, TermStatistics statistics,
                                         const CancelToken& cancel) const;
  Result<std::vector<SearchResponse>> search_some(std::span<const SearchRequest> requests, const std::shared_ptr<const Lexicon>& lexicon,
                                                  const CancelToken& cancel) const;
  Status keep_best_of_documents(const Asked& asked, const CancelToken& cancel, RemoteHits& found) const;
  Result<std::optional<SearchResponse>> answer(const Asked& asked, const TermStatistics& statistics, const Analyzer& analyzer, RemoteHits found,
                                               RemoteHits near, const CancelToken& cancel) const;
  Status rescore(const Asked& asked, const TermStatistics& statistics, const Analyzer& analyzer, const CancelToken& cancel,
                 std::vector<RemoteHit>& hits) const;

  const Cluster& cluster_;
  const RemoteStatistics& statistics_;
  const IndexOptions& options_;
  const bool has_vectors_;
};

}  // namespace wenqu::retrieval
