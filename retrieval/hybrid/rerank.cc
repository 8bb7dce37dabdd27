#include "retrieval/hybrid/rerank.h"

#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "retrieval/vectors/segment.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxCandidates = 10'000;

}  // namespace

Status check_hybrid(const HybridOptions& options) {
  if (!(options.dense_weight >= 0 && options.dense_weight <= 1))
    return Status(StatusCode::invalid_argument, "must be between 0 and 1", "dense_weight");
  if (options.candidates < 1 || options.candidates > kMaxCandidates)
    return Status(StatusCode::invalid_argument, "must be between 1 and " + std::to_string(kMaxCandidates), "candidates");
  if (options.reranked < 1 || options.reranked > kMaxCandidates)
    return Status(StatusCode::invalid_argument, "must be between 1 and " + std::to_string(kMaxCandidates), "reranked");
  return {};
}

Result<bool> is_reranked(const RerankFunction& rerank, const HybridOptions& options) {
  WENQU_RETURN_IF_ERROR(check_hybrid(options));
  if (options.rerank == HybridOptions::Use::never) return false;
  if (rerank || options.rerank == HybridOptions::Use::automatic) return static_cast<bool>(rerank);
  return Status(StatusCode::unsupported, "ranking again needs a reranking model", "rerank");
}

Status rerank_hits(const RerankFunction& rerank, const SearchRequest& request, const CancelToken& cancel, std::vector<Hit>& hits) {
  const size_t count = std::min(request.hybrid.reranked, hits.size());
  if (count == 0) return {};
  std::vector<std::string> texts;
  for (size_t i = 0; i < count; ++i) texts.push_back(embedded_text(hits[i].title, hits[i].passage.text));
  WENQU_ASSIGN_OR_RETURN(const std::vector<float> scores, rerank(utf8_sanitize(request.query), texts, cancel));
  if (scores.size() != count) return Status(StatusCode::internal, "the reranking model gave another number of scores than there are texts");
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(scores[i])) return Status(StatusCode::invalid_argument, "the reranking model gave figures that are no numbers");
    hits[i].score = static_cast<double>(scores[i]);
  }
  const auto end = hits.begin() + static_cast<std::ptrdiff_t>(count);
  std::stable_sort(hits.begin(), end, [](const Hit& a, const Hit& b) { return a.score > b.score; });
  // Those behind go on below the last one, so that scores fall all the way.
  const double first = count < hits.size() ? hits[count].score : 0;
  for (auto hit = end; hit != hits.end(); ++hit) hit->score += hits[count - 1].score - first;
  return {};
}

}  // namespace wenqu::retrieval
