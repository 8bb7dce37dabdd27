// How common terms are in the cluster's passages, which a search weighs them by. What was asked is kept for half a
// minute, so that the next search with the same words is one request and not two.
//
// Thread safety: all members from any thread. Lifetime: the cluster outlives it.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/query/term_counts.h"
#include "retrieval/remote/cluster.h"

namespace wenqu::retrieval {

using RemoteTerm = std::pair<TermField, std::string>;

struct TermStatistics {
  RemoteTotals totals;
  std::map<RemoteTerm, uint64_t> holders;  // of all terms asked for, and perhaps of others

  uint64_t holders_of(const RemoteTerm& term) const {
    const auto found = holders.find(term);
    return found == holders.end() ? 0 : found->second;
  }
};

// Counts from what is known. What is not is noted, and held by none until it is asked.
class KnownCounts final : public TermCounts {
 public:
  KnownCounts(const TermStatistics& statistics, std::vector<RemoteTerm>& lacking) : statistics_(statistics), lacking_(lacking) {}
  uint64_t passages() const override { return statistics_.totals.passages; }
  Result<uint64_t> holders(TermField field, const std::string& term) override;

 private:
  const TermStatistics& statistics_;
  std::vector<RemoteTerm>& lacking_;
};

class RemoteStatistics {
 public:
  explicit RemoteStatistics(const Cluster& cluster) : cluster_(cluster) {}

  // Terms of fields that are not searched are held by none. Errors: the cluster's.
  Result<TermStatistics> of(std::vector<RemoteTerm> terms, const CancelToken& cancel) const;
  // The index has changed.
  void forget();

 private:
  const Cluster& cluster_;
  mutable std::mutex mutex_;
  mutable TermStatistics known_;
  mutable std::chrono::steady_clock::time_point known_since_{};
  mutable bool has_totals_ = false;
  mutable uint64_t forgotten_ = 0;  // how often; what was asked before is not kept
};

}  // namespace wenqu::retrieval
