#include "retrieval/remote/remote_search.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "base/utf8.h"
#include "retrieval/hybrid/rerank.h"
#include "retrieval/index_rules.h"
#include "retrieval/rank/other_words.h"
#include "retrieval/rank/rescore.h"
#include "retrieval/remote/fuse.h"
#include "retrieval/remote/weigh.h"
#include "retrieval/similar/collapse.h"
#include "retrieval/vectors/embed_texts.h"

namespace wenqu::retrieval {
namespace {

// Passages asked for, where each document's best is wanted; more when they turn out to be of few documents.
constexpr size_t kPassagesPerDocument = 5;
// Of one request: an answer has its limit.
constexpr size_t kSearchesAtOnce = 32;
constexpr size_t kPassagesAtOnce = 5'000;
// A document is as good as its best passage and a tenth of its second: rank/ranking.cc.
constexpr double kSecondPassageShare = 0.1;

// What else is asked for depends on how common it is, which has to be asked first: so often. It is more than once for rows
// of syllables only.
constexpr int kMostRounds = 8;

PassageQuery query_of(const SearchRequest& request, size_t passages) {
  PassageQuery query;
  query.sources = request.sources;
  query.filter = request.filter;
  query.size = passages;
  return query;
}

}  // namespace

// One search on its way.
struct RemoteSearch::Asked {
  const SearchRequest* request = nullptr;
  std::string text;   // the question, well formed
  std::vector<Term> terms;
  std::vector<QuestionTerm> question;
  std::vector<RemoteClause> clauses;
  std::vector<float> vector;   // empty: it is not searched by
  bool dense = false;
  bool reranked = false;
  size_t end = 0;         // of the hits that are wanted
  size_t listed = 0;      // hits that the answer is cut from
  size_t wanted = 0;      // of the first stage: passages, or documents where one of each is wanted
  size_t neighbours = 0;  // that vectors are to find

  size_t passages() const {
    return std::min(kMaxTop, request->one_per_document ? wanted * kPassagesPerDocument : wanted);
  }
};

Result<bool> RemoteSearch::is_dense(const HybridOptions& options) const {
  if (options.dense == HybridOptions::Use::never) return false;
  if (has_vectors_ || options.dense == HybridOptions::Use::automatic) return has_vectors_;
  return Status(StatusCode::unsupported,
                options_.models.embedding ? "the index has no vectors: make it anew with an embedding model (`wenqu index --embed`)"
                                          : "a search by vectors needs the embedding model that the index was made with",
                cluster_.name());
}

Result<RemoteSearch::Asked> RemoteSearch::prepare(const SearchRequest& request, const Analyzer& analyzer) const {
  WENQU_RETURN_IF_ERROR(check_search(request));
  Asked asked;
  asked.request = &request;
  WENQU_ASSIGN_OR_RETURN(asked.reranked, is_reranked(options_.models.rerank, request.hybrid));
  WENQU_ASSIGN_OR_RETURN(asked.dense, is_dense(request.hybrid));
  asked.text = utf8_sanitize(request.query);
  asked.terms = analyzer.analyze_question(asked.text);
  asked.question = search_terms(asked.terms);
  // As in index.cc: a model that ranks again looks at the same ones for every page, and of copies enough must be left.
  asked.end = std::max(request.offset + request.top, asked.reranked ? request.hybrid.reranked : 0);
  list(asked, request.collapse_duplicates ? asked.end * 2 : asked.end);
  return asked;
}

void RemoteSearch::list(Asked& asked, size_t listed) const {
  asked.listed = std::min(kMaxTop, listed);
  asked.neighbours = asked.dense ? std::min(kMaxTop, candidates_for(asked.listed, asked.request->hybrid.candidates)) : 0;
  asked.wanted = std::min(kMaxTop, candidates_for(std::max({asked.listed, asked.neighbours, second_stage(options_.ranking)}), options_.ranking.rescored));
}

Status RemoteSearch::embed_questions(std::vector<Asked>& all, const CancelToken& cancel) const {
  std::vector<std::string> texts;
  for (const Asked& asked : all)
    if (asked.dense) texts.push_back(asked.text);
  if (texts.empty()) return {};
  const EmbeddingModel& model = options_.models.embedding;
  WENQU_ASSIGN_OR_RETURN(const std::vector<float> vectors, embed_texts(model, texts, TextRole::query, cancel));
  auto next = vectors.begin();
  for (Asked& asked : all) {
    if (!asked.dense) continue;
    asked.vector.assign(next, next + static_cast<std::ptrdiff_t>(model.dimensions));
    next += static_cast<std::ptrdiff_t>(model.dimensions);
    if (is_zero(asked.vector)) asked.vector.clear();
  }
  return {};
}

// Gives the statistics of everything that is asked for then.
Result<TermStatistics> RemoteSearch::add_other_words(std::vector<Asked>& all, const std::shared_ptr<const Lexicon>& lexicon,
                                                     TermStatistics statistics, const CancelToken& cancel) const {
  std::vector<RemoteTerm> terms;
  for (const auto& [term, holders] : statistics.holders) terms.push_back(term);
  for (int round = 1;; ++round) {
    std::vector<Asked> fuller = all;
    std::vector<RemoteTerm> lacking;
    KnownCounts counts(statistics, lacking);
    for (Asked& asked : fuller)
      WENQU_RETURN_IF_ERROR(retrieval::add_other_words(lexicon, counts, asked.text, options_.ranking, asked.question, asked.terms));
    const bool is_last = lacking.empty() || round == kMostRounds;
    if (is_last) {
      all = std::move(fuller);
      lacking.clear();
      for (const Asked& asked : all) add_remote_terms(asked.question, lacking);
    }
    terms.insert(terms.end(), lacking.begin(), lacking.end());
    WENQU_ASSIGN_OR_RETURN(statistics, statistics_.of(terms, cancel));
    if (is_last) return statistics;
  }
}

Result<std::vector<SearchResponse>> RemoteSearch::search_all(std::span<const SearchRequest> requests,
                                                             const std::shared_ptr<const Lexicon>& lexicon,
                                                             const CancelToken& cancel) const {
  std::vector<SearchResponse> responses;
  while (!requests.empty()) {
    size_t count = 0;
    for (size_t passages = 0;
         count < std::min(requests.size(), kSearchesAtOnce) && (count == 0 || passages < kPassagesAtOnce); ++count)
      passages += (std::min(requests[count].top, kMaxTop) + std::min(requests[count].offset, kMaxTop)) *
                  (requests[count].one_per_document ? kPassagesPerDocument : 1) +
                  (has_vectors_ ? requests[count].hybrid.candidates : 0);
    WENQU_ASSIGN_OR_RETURN(std::vector<SearchResponse> some, search_some(requests.first(count), lexicon, cancel));
    std::move(some.begin(), some.end(), std::back_inserter(responses));
    requests = requests.subspan(count);
  }
  return responses;
}

Result<std::vector<SearchResponse>> RemoteSearch::search_some(std::span<const SearchRequest> requests,
                                                              const std::shared_ptr<const Lexicon>& lexicon,
                                                              const CancelToken& cancel) const {
  const Analyzer analyzer(lexicon);
  std::vector<Asked> all;
  std::vector<RemoteTerm> terms;
  for (const SearchRequest& request : requests) {
    WENQU_ASSIGN_OR_RETURN(Asked asked, prepare(request, analyzer));
    add_remote_terms(asked.question, terms);
    all.push_back(std::move(asked));
  }
  WENQU_ASSIGN_OR_RETURN(TermStatistics statistics, statistics_.of(std::move(terms), cancel));
  if (has_other_words(*lexicon, options_.ranking)) {
    WENQU_ASSIGN_OR_RETURN(statistics, add_other_words(all, lexicon, std::move(statistics), cancel));
  }
  WENQU_RETURN_IF_ERROR(embed_questions(all, cancel));
  for (Asked& asked : all) asked.clauses = weigh_clauses(asked.question, statistics, options_.ranking, cluster_.scores_with_k1());
  std::vector<SearchResponse> responses(all.size());
  // Where most are copies, more are listed until enough are left: of one search at a time, as an answer has its limit.
  std::vector<size_t> open(all.size()), later;
  std::iota(open.begin(), open.end(), size_t{0});
  while (!open.empty()) {
    std::vector<std::string> bodies;
    for (const size_t place : open) WENQU_RETURN_IF_ERROR(add_searches(all[place], bodies));
    WENQU_ASSIGN_OR_RETURN(std::vector<RemoteHits> found, cluster_.search(bodies, cancel));
    size_t next = 0;
    for (const size_t place : open) {
      Asked& asked = all[place];
      RemoteHits by_words = asked.clauses.empty() ? RemoteHits() : std::move(found[next++]);
      RemoteHits by_vector = asked.vector.empty() ? RemoteHits() : std::move(found[next++]);
      WENQU_ASSIGN_OR_RETURN(std::optional<SearchResponse> response, answer(asked, statistics, analyzer, std::move(by_words), std::move(by_vector), cancel));
      if (response) {
        responses[place] = std::move(*response);
      } else {
        list(asked, asked.listed * 4);
        later.push_back(place);
      }
    }
    open.clear();
    if (later.empty()) break;
    open.push_back(later.back());
    later.pop_back();
  }
  return responses;
}

Status RemoteSearch::add_searches(const Asked& asked, std::vector<std::string>& bodies) const {
  PassageQuery query = query_of(*asked.request, asked.passages());
  query.clauses = asked.clauses;
  // Also where nothing can be found: it checks the filter.
  WENQU_ASSIGN_OR_RETURN(std::string by_words, passage_search(query));
  if (!asked.clauses.empty()) bodies.push_back(std::move(by_words));
  if (asked.vector.empty()) return {};
  WENQU_ASSIGN_OR_RETURN(std::string by_vector, vector_search(asked.vector, query_of(*asked.request, asked.neighbours), cluster_.server().is_opensearch));
  bodies.push_back(std::move(by_vector));
  return {};
}

// Each document's best passage with the document's score. Asks again, for more, where too few documents came.
Status RemoteSearch::keep_best_of_documents(const Asked& asked, const CancelToken& cancel, RemoteHits& found) const {
  for (size_t passages = asked.passages();;) {
    std::map<std::string, size_t> places;  // of documents among the best
    std::vector<RemoteHit> best;
    std::vector<bool> has_second;
    for (RemoteHit& hit : found.hits) {
      const auto [place, is_first] = places.emplace(hit.hit.passage.document_id, best.size());
      if (is_first) {
        best.push_back(std::move(hit));
        has_second.push_back(false);
      } else if (!has_second[place->second]) {
        best[place->second].hit.score += kSecondPassageShare * hit.hit.score;
        has_second[place->second] = true;
      }
    }
    const bool all_came = found.hits.size() < passages;
    if (best.size() >= asked.wanted || all_came || passages >= kMaxTop) {
      std::stable_sort(best.begin(), best.end(),
                       [](const RemoteHit& a, const RemoteHit& b) { return a.hit.score > b.hit.score; });
      found.total_is_exact = all_came;
      found.total = all_came ? best.size()
                             : std::max<uint64_t>(best.size(),
                                                  found.total * best.size() / std::max<size_t>(found.hits.size(), 1));
      found.hits = std::move(best);
      return {};
    }
    passages = std::min(kMaxTop, passages * 4);
    PassageQuery query = query_of(*asked.request, passages);
    query.clauses = asked.clauses;
    WENQU_ASSIGN_OR_RETURN(std::string body, passage_search(query));
    WENQU_ASSIGN_OR_RETURN(std::vector<RemoteHits> more, cluster_.search({std::move(body)}, cancel));
    found = std::move(more.front());
  }
}

Status RemoteSearch::rescore(const Asked& asked, const TermStatistics& statistics, const Analyzer& analyzer,
                             const CancelToken& cancel, std::vector<RemoteHit>& hits) const {
  const size_t count = std::min({hits.size(), asked.wanted, second_stage(options_.ranking)});
  if (count == 0) return {};
  std::vector<RemoteHit> best(std::make_move_iterator(hits.begin()),
                              std::make_move_iterator(hits.begin() + static_cast<std::ptrdiff_t>(count)));
  std::vector<RemoteText> texts;
  if (const std::vector<RemoteRun> runs = chapters_of(best); options_.ranking.document > 0 && !runs.empty()) {
    size_t passages = 0;
    for (const RemoteRun& run : runs) passages += run.end - run.begin;
    WENQU_ASSIGN_OR_RETURN(std::string answer,
                           cluster_.search_raw(texts_search(runs, std::min(passages, kMaxTop)), cancel));
    auto parsed = parse_texts(std::move(answer));
    if (!parsed) return parsed.status().at(cluster_.name());
    texts = std::move(*parsed);
  }
  WENQU_RETURN_IF_ERROR(cancel.status());
  rescore_remote(asked.text, asked.question, statistics, options_.ranking, texts, analyzer, best);
  // Those behind go on below the last one, so that scores fall all the way.
  const double behind = count < hits.size() ? std::min(0.0, best.back().hit.score - hits[count].hit.score) : 0;
  for (size_t i = count; i < hits.size(); ++i) hits[i].hit.score += behind;
  std::move(best.begin(), best.end(), hits.begin());
  return {};
}

// Nothing where more must be listed.
Result<std::optional<SearchResponse>> RemoteSearch::answer(const Asked& asked, const TermStatistics& statistics, const Analyzer& analyzer,
                                            RemoteHits found, RemoteHits near, const CancelToken& cancel) const {
  const SearchRequest& request = *asked.request;
  SearchResponse response;
  response.dense = asked.dense;
  response.reranked = asked.reranked;
  if (!found.total_is_exact && request.sources.empty() && request.filter.is_empty())
    found.total = std::max(found.total, estimate_matches(asked.clauses, statistics));
  if (request.one_per_document && !asked.clauses.empty())
    WENQU_RETURN_IF_ERROR(keep_best_of_documents(asked, cancel, found));
  const bool all_came = found.hits.size() < asked.wanted && (asked.vector.empty() || near.hits.size() < asked.neighbours);
  WENQU_RETURN_IF_ERROR(rescore(asked, statistics, analyzer, cancel, found.hits));
  if (asked.dense) found.hits = fuse_remote(std::move(found.hits), std::move(near.hits), request);
  response.total = std::max<size_t>(found.total, found.hits.size());
  response.total_is_exact = found.total_is_exact && response.total == found.total;
  const bool has_more = found.hits.size() > asked.listed || !all_came;
  if (found.hits.size() > asked.listed) found.hits.resize(asked.listed);
  for (RemoteHit& hit : found.hits) response.hits.push_back(std::move(hit.hit));
  if (request.collapse_duplicates) {
    collapse_near_duplicates(response.hits);
    if (response.hits.size() < asked.end && has_more && asked.listed < kMaxTop) return std::optional<SearchResponse>();
  }
  if (response.reranked) WENQU_RETURN_IF_ERROR(rerank_hits(options_.models.rerank, request, cancel, response.hits));
  response.hits.erase(response.hits.begin(), response.hits.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                                         request.offset, response.hits.size())));
  if (response.hits.size() > request.top) response.hits.resize(request.top);
  if (request.snippets) add_snippets(asked.terms, analyzer, response.hits);
  return std::optional(std::move(response));
}

}  // namespace wenqu::retrieval
