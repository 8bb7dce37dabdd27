#include "retrieval/remote/statistics.h"

#include <algorithm>

namespace wenqu::retrieval {
namespace {

constexpr std::chrono::seconds kKept{30};
constexpr size_t kMostKept = 65'536;  // terms
constexpr size_t kAtOnce = 1'000;     // terms of a request

}  // namespace

Result<uint64_t> KnownCounts::holders(TermField field, const std::string& term) {
  const std::string_view text = index_term_bytes(term);
  if (text.empty() || !remote_field(field)) return uint64_t{0};
  const auto known = statistics_.holders.find({field, std::string(text)});
  if (known != statistics_.holders.end()) return known->second;
  lacking_.emplace_back(field, text);
  return uint64_t{0};
}

void RemoteStatistics::forget() {
  const std::lock_guard lock(mutex_);
  known_ = TermStatistics();
  has_totals_ = false;
  ++forgotten_;
}

Result<TermStatistics> RemoteStatistics::of(std::vector<RemoteTerm> terms, const CancelToken& cancel) const {
  std::sort(terms.begin(), terms.end());
  terms.erase(std::unique(terms.begin(), terms.end()), terms.end());
  std::erase_if(terms, [](const RemoteTerm& term) { return !remote_field(term.first); });
  TermStatistics wanted;
  bool has_totals = false;
  uint64_t forgotten = 0;
  {
    const std::lock_guard lock(mutex_);
    if (std::chrono::steady_clock::now() - known_since_ > kKept || known_.holders.size() > kMostKept) {
      known_ = TermStatistics();
      has_totals_ = false;
    }
    has_totals = has_totals_;
    forgotten = forgotten_;
    wanted.totals = known_.totals;
    std::erase_if(terms, [&](const RemoteTerm& term) {
      const auto found = known_.holders.find(term);
      if (found == known_.holders.end()) return false;
      wanted.holders.insert(*found);
      return true;
    });
  }
  const bool asks_totals = !has_totals;
  std::map<RemoteTerm, uint64_t> learned;
  for (size_t begin = 0; begin < terms.size() || !has_totals; begin += kAtOnce) {
    const size_t end = std::min(terms.size(), begin + kAtOnce);
    const std::vector<RemoteTerm> some(terms.begin() + static_cast<std::ptrdiff_t>(begin),
                                       terms.begin() + static_cast<std::ptrdiff_t>(end));
    WENQU_ASSIGN_OR_RETURN(std::string answer, cluster_.search_raw(statistics_search(some, !has_totals), cancel));
    const auto holders = parse_statistics(std::move(answer), some.size(), has_totals ? nullptr : &wanted.totals);
    if (!holders) return holders.status().at(cluster_.name());
    has_totals = true;
    for (size_t i = 0; i < some.size(); ++i) learned[some[i]] = (*holders)[i];
  }
  {
    const std::lock_guard lock(mutex_);
    if (forgotten == forgotten_) {
      if (asks_totals) {
        known_.totals = wanted.totals;
        has_totals_ = true;
        known_since_ = std::chrono::steady_clock::now();
      }
      known_.holders.insert(learned.begin(), learned.end());
    }
  }
  wanted.holders.merge(learned);
  return wanted;
}

}  // namespace wenqu::retrieval
