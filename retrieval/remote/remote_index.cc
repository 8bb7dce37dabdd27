#include "retrieval/remote/remote_index.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <map>
#include <mutex>
#include <utility>

#include "base/utf8.h"
#include "retrieval/documents/passages.h"
#include "retrieval/hybrid/rerank.h"
#include "retrieval/index_rules.h"
#include "retrieval/rank/bm25.h"
#include "retrieval/remote/cluster.h"
#include "retrieval/remote/weigh.h"
#include "retrieval/similar/collapse.h"

namespace wenqu::retrieval {
namespace {

// Of changes that wait to be sent.
constexpr size_t kBatchDocuments = 500;
constexpr size_t kBatchBytes = size_t{4} << 20;
// Of one request, unless one document alone is larger. Clusters take 100 MiB, services in front of them often 10.
constexpr size_t kRequestBytes = size_t{8} << 20;
// A document is one part of a request, which has its limit.
constexpr size_t kMostText = size_t{32} << 20;

// The second look fetches the texts of so many documents at most.
constexpr size_t kMostRescored = 50;
// Passages asked for, where each document's best is wanted; more when they turn out to be of few documents.
constexpr size_t kPassagesPerDocument = 5;
// Of one request: an answer has its limit.
constexpr size_t kSearchesAtOnce = 32;
constexpr size_t kPassagesAtOnce = 5'000;
// A document is as good as its best passage and a tenth of its second: rank/ranking.cc.
constexpr double kSecondPassageShare = 0.1;

// One search on its way.
struct Asked {
  const SearchRequest* request = nullptr;
  std::vector<Term> terms;
  std::vector<QuestionTerm> question;
  std::vector<RemoteClause> clauses;
  bool reranked = false;
  size_t listed = 0;  // hits that the answer is cut from
  size_t wanted = 0;  // of the first stage: passages, or documents where one of each is wanted
};

size_t passages_for(const Asked& asked) {
  return std::min(kMaxTop, asked.request->one_per_document ? asked.wanted * kPassagesPerDocument : asked.wanted);
}

class RemoteIndex final : public Index {
 public:
  RemoteIndex(std::unique_ptr<Cluster> cluster, bool writable, const IndexOptions& options, uint64_t commit)
      : cluster_(std::move(cluster)), writable_(writable), options_(options), statistics_(*cluster_), commit_(commit) {}

  Result<SearchResponse> search(const SearchRequest& request, const CancelToken& cancel) const override {
    WENQU_ASSIGN_OR_RETURN(std::vector<SearchResponse> responses, search_all({&request, 1}, cancel));
    return std::move(responses.front());
  }
  Result<std::vector<SearchResponse>> search_all(std::span<const SearchRequest> requests,
                                                 const CancelToken& cancel) const override;
  Result<std::vector<WeighedTerm>> weigh(std::string_view text, bool is_question) const override;
  Result<Document> fetch(const std::string& document_id) const override;
  Status add(const Document& document) override;
  Status remove(const std::string& document_id) override;
  Status commit() override;
  Status make_visible() override;
  Status optimize(const CancelToken&) override {
    return Status(StatusCode::unsupported, "a cluster merges its segments by itself (or by POST _forcemerge)",
                  cluster_->name());
  }
  Status upkeep_status() const override { return {}; }
  Status refresh() override;
  Status scrub(const CancelToken& cancel) const override {
    WENQU_RETURN_IF_ERROR(cluster_->check_health(cancel));
    return cluster_->check_index(cancel);
  }
  IndexStats stats() const override;

  static Result<uint64_t> read_commit(const Cluster& cluster) {
    auto body = cluster.get(std::string(kCommitKey), {});
    if (body.status().code() == StatusCode::not_found) return uint64_t{0};
    if (!body) return body.status();
    return parse_commit(std::move(*body));
  }

 private:
  // A document that is to be added, or removed, under its id.
  struct Change {
    Document document;
    bool removes = false;
  };

  Result<Asked> prepare(const SearchRequest& request) const;
  Result<std::vector<SearchResponse>> search_some(std::span<const SearchRequest> requests,
                                                  const CancelToken& cancel) const;
  Result<std::string> body_of(const Asked& asked, size_t passages) const;
  Status keep_best_of_documents(const Asked& asked, const CancelToken& cancel, RemoteHits& found) const;
  Result<SearchResponse> answer(const Asked& asked, const TermStatistics& statistics, RemoteHits found,
                                const CancelToken& cancel) const;
  Status rescore(const Asked& asked, const TermStatistics& statistics, const CancelToken& cancel,
                 std::vector<RemoteHit>& hits) const;

  Status check_writable() const {
    if (writable_) return {};
    return Status(StatusCode::unsupported, "the index was opened for reading", cluster_->name());
  }
  Status change(Change change);
  Status flush();
  Status send(const std::vector<BulkItem>& items) const;

  const std::unique_ptr<Cluster> cluster_;
  const bool writable_;
  const IndexOptions options_;
  const Analyzer analyzer_{};
  RemoteStatistics statistics_;
  mutable std::mutex mutex_;               // of what follows; held while changes are sent
  std::map<std::string, Change> pending_;  // by document id
  size_t pending_bytes_ = 0;
  std::atomic<uint64_t> commit_;
};

Result<Asked> RemoteIndex::prepare(const SearchRequest& request) const {
  WENQU_RETURN_IF_ERROR(check_search(request));
  Asked asked;
  asked.request = &request;
  WENQU_ASSIGN_OR_RETURN(asked.reranked, is_reranked(options_.models.rerank, request.hybrid));
  if (request.hybrid.dense == HybridOptions::Use::required)
    return Status(StatusCode::unsupported, "an index in a cluster has no vectors", cluster_->name());
  asked.terms = analyzer_.analyze_question(utf8_sanitize(request.query));
  asked.question = search_terms(asked.terms);
  // As in index.cc: a model that ranks again looks at the same ones for every page, and of copies enough must be left.
  const size_t end = std::max(request.offset + request.top, asked.reranked ? request.hybrid.reranked : 0);
  asked.listed = request.collapse_duplicates ? std::min(kMaxTop, end * 2) : end;
  asked.wanted = std::min(kMaxTop, candidates_for(asked.listed, options_.ranking.rescored));
  return asked;
}

Result<std::string> RemoteIndex::body_of(const Asked& asked, size_t passages) const {
  PassageQuery query;
  query.clauses = asked.clauses;
  query.sources = asked.request->sources;
  query.filter = asked.request->filter;
  query.size = passages;
  return passage_search(query);
}

Result<std::vector<SearchResponse>> RemoteIndex::search_all(std::span<const SearchRequest> requests,
                                                            const CancelToken& cancel) const {
  std::vector<SearchResponse> responses;
  while (!requests.empty()) {
    size_t count = 0;
    for (size_t passages = 0;
         count < std::min(requests.size(), kSearchesAtOnce) && (count == 0 || passages < kPassagesAtOnce); ++count)
      passages += (std::min(requests[count].top, kMaxTop) + std::min(requests[count].offset, kMaxTop)) *
                  (requests[count].one_per_document ? kPassagesPerDocument : 1);
    WENQU_ASSIGN_OR_RETURN(std::vector<SearchResponse> some, search_some(requests.first(count), cancel));
    std::move(some.begin(), some.end(), std::back_inserter(responses));
    requests = requests.subspan(count);
  }
  return responses;
}

Result<std::vector<SearchResponse>> RemoteIndex::search_some(std::span<const SearchRequest> requests,
                                                             const CancelToken& cancel) const {
  std::vector<Asked> all;
  std::vector<RemoteTerm> terms;
  for (const SearchRequest& request : requests) {
    WENQU_ASSIGN_OR_RETURN(Asked asked, prepare(request));
    add_remote_terms(asked.question, terms);
    all.push_back(std::move(asked));
  }
  WENQU_ASSIGN_OR_RETURN(const TermStatistics statistics, statistics_.of(std::move(terms), cancel));
  std::vector<std::string> bodies;
  for (Asked& asked : all) {
    asked.clauses = weigh_clauses(asked.question, statistics, options_.ranking, cluster_->scores_with_k1());
    WENQU_ASSIGN_OR_RETURN(
        std::string body,
        body_of(asked, passages_for(asked)));  // also where nothing can be found: it checks the filter
    if (!asked.clauses.empty()) bodies.push_back(std::move(body));
  }
  WENQU_ASSIGN_OR_RETURN(std::vector<RemoteHits> found, cluster_->search(bodies, cancel));
  std::vector<SearchResponse> responses;
  size_t next = 0;
  for (const Asked& asked : all) {
    WENQU_ASSIGN_OR_RETURN(
        SearchResponse response,
        answer(asked, statistics, asked.clauses.empty() ? RemoteHits() : std::move(found[next++]), cancel));
    responses.push_back(std::move(response));
  }
  return responses;
}

// Each document's best passage with the document's score. Asks again, for more, where too few documents came.
Status RemoteIndex::keep_best_of_documents(const Asked& asked, const CancelToken& cancel, RemoteHits& found) const {
  for (size_t passages = passages_for(asked);;) {
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
    WENQU_ASSIGN_OR_RETURN(std::string body, body_of(asked, passages));
    WENQU_ASSIGN_OR_RETURN(std::vector<RemoteHits> more, cluster_->search({std::move(body)}, cancel));
    found = std::move(more.front());
  }
}

Status RemoteIndex::rescore(const Asked& asked, const TermStatistics& statistics, const CancelToken& cancel,
                            std::vector<RemoteHit>& hits) const {
  const size_t count = std::min({hits.size(), asked.wanted, std::max(options_.ranking.rescored, kMostRescored)});
  if (count == 0) return {};
  std::vector<RemoteHit> best(std::make_move_iterator(hits.begin()),
                              std::make_move_iterator(hits.begin() + static_cast<std::ptrdiff_t>(count)));
  std::vector<RemoteText> texts;
  if (const std::vector<RemoteRun> runs = chapters_of(best); options_.ranking.document > 0 && !runs.empty()) {
    size_t passages = 0;
    for (const RemoteRun& run : runs) passages += run.end - run.begin;
    WENQU_ASSIGN_OR_RETURN(std::string answer,
                           cluster_->search_raw(texts_search(runs, std::min(passages, kMaxTop)), cancel));
    auto parsed = parse_texts(std::move(answer));
    if (!parsed) return parsed.status().at(cluster_->name());
    texts = std::move(*parsed);
  }
  WENQU_RETURN_IF_ERROR(cancel.status());
  rescore_remote(utf8_sanitize(asked.request->query), asked.question, statistics, options_.ranking, texts, analyzer_, best);
  // Those behind go on below the last one, so that scores fall all the way.
  const double behind = count < hits.size() ? std::min(0.0, best.back().hit.score - hits[count].hit.score) : 0;
  for (size_t i = count; i < hits.size(); ++i) hits[i].hit.score += behind;
  std::move(best.begin(), best.end(), hits.begin());
  return {};
}

Result<SearchResponse> RemoteIndex::answer(const Asked& asked, const TermStatistics& statistics, RemoteHits found,
                                           const CancelToken& cancel) const {
  const SearchRequest& request = *asked.request;
  SearchResponse response;
  response.reranked = asked.reranked;
  if (!found.total_is_exact && request.sources.empty() && request.filter.is_empty())
    found.total = std::max(found.total, estimate_matches(asked.clauses, statistics));
  if (request.one_per_document && !asked.clauses.empty())
    WENQU_RETURN_IF_ERROR(keep_best_of_documents(asked, cancel, found));
  WENQU_RETURN_IF_ERROR(rescore(asked, statistics, cancel, found.hits));
  response.total = std::max<size_t>(found.total, found.hits.size());
  response.total_is_exact = found.total_is_exact;
  if (found.hits.size() > asked.listed) found.hits.resize(asked.listed);
  for (RemoteHit& hit : found.hits) response.hits.push_back(std::move(hit.hit));
  if (request.collapse_duplicates) collapse_near_duplicates(response.hits);
  if (response.reranked) WENQU_RETURN_IF_ERROR(rerank_hits(options_.models.rerank, request, cancel, response.hits));
  response.hits.erase(response.hits.begin(), response.hits.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                                         request.offset, response.hits.size())));
  if (response.hits.size() > request.top) response.hits.resize(request.top);
  if (request.snippets) add_snippets(asked.terms, analyzer_, response.hits);
  return response;
}

Result<std::vector<WeighedTerm>> RemoteIndex::weigh(std::string_view text, bool is_question) const {
  WENQU_RETURN_IF_ERROR(check_query_size(text));
  const std::string clean = utf8_sanitize(text);
  std::vector<QuestionTerm> terms =
      is_question ? search_terms(analyzer_.analyze_question(clean)) : distinct_terms(analyzer_.analyze(clean));
  if (!is_question) std::erase_if(terms, [](const QuestionTerm& term) { return term.term.kind == Term::Kind::dictionary_word; });
  std::vector<RemoteTerm> wanted;
  for (const QuestionTerm& term : terms)
    wanted.emplace_back(body_field(term.term.kind), index_term_bytes(term.term.text));
  WENQU_ASSIGN_OR_RETURN(const TermStatistics statistics, statistics_.of(wanted, {}));
  std::vector<WeighedTerm> weighed;
  for (size_t i = 0; i < terms.size(); ++i) {
    WeighedTerm entry;
    entry.range = terms[i].term.range;
    entry.is_unigram = terms[i].term.kind == Term::Kind::unigram;
    entry.is_dictionary_word = terms[i].term.kind == Term::Kind::dictionary_word;
    entry.passages = statistics.holders_of(wanted[i]);
    entry.weight = inverse_document_frequency(statistics.totals.passages, entry.passages);
    entry.text = std::move(terms[i].term.text);
    weighed.push_back(std::move(entry));
  }
  return weighed;
}

Result<Document> RemoteIndex::fetch(const std::string& document_id) const {
  auto body = cluster_->get(record_key(utf8_sanitize(document_id)), {});
  if (body.status().code() == StatusCode::not_found)
    return Status(StatusCode::not_found, "no document has this id", document_id);
  if (!body) return body.status();
  auto document = parse_record(std::move(*body));
  return document ? std::move(document) : Result<Document>(document.status().at(cluster_->name()));
}

Status RemoteIndex::add(const Document& document) {
  WENQU_RETURN_IF_ERROR(check_writable());
  if (document.text.size() > kMostText)
    return Status(StatusCode::limit_exceeded,
                  "the text is larger than 32 MiB, which is the most for a cluster: split the document", document.id);
  Document clean = clean_document(document);
  WENQU_RETURN_IF_ERROR(check_id(clean.id));
  WENQU_RETURN_IF_ERROR(check_acl(clean));
  return change({std::move(clean), false});
}

Status RemoteIndex::remove(const std::string& document_id) {
  WENQU_RETURN_IF_ERROR(check_writable());
  Change gone;
  gone.document.id = utf8_sanitize(document_id);
  gone.removes = true;
  WENQU_RETURN_IF_ERROR(check_id(gone.document.id));
  return change(std::move(gone));
}

Status RemoteIndex::change(Change change) {
  const std::lock_guard lock(mutex_);
  pending_bytes_ += change.document.text.size() + change.document.title.size();
  const std::string id = change.document.id;
  pending_[id] = std::move(change);
  if (pending_.size() < kBatchDocuments && pending_bytes_ < kBatchBytes) return {};
  const Status sent = flush();
  // Which would say that this document is at fault.
  if (sent.code() == StatusCode::invalid_argument || sent.code() == StatusCode::limit_exceeded)
    return Status(StatusCode::io_error, sent.message(), sent.where());
  return sent;
}

// Sends what is pending. What fails is dropped. REQUIRES: mutex_ is held
Status RemoteIndex::flush() {
  if (pending_.empty()) return {};
  const std::map<std::string, Change> changes = std::exchange(pending_, {});
  pending_bytes_ = 0;
  std::vector<std::string> keys;
  for (const auto& [id, change] : changes) keys.push_back(record_key(id));
  // Of passages that are not replaced it must be known that they are there.
  WENQU_ASSIGN_OR_RETURN(const std::vector<uint32_t> slots, cluster_->slots(keys, {}));
  std::vector<BulkItem> items;
  size_t bytes = 0;
  const auto send_pieces = [&](size_t most) -> Status {
    if (bytes < most || items.empty()) return {};
    WENQU_RETURN_IF_ERROR(send(items));
    items.clear();
    bytes = 0;
    return {};
  };
  size_t place = 0;
  for (const auto& [id, change] : changes) {
    const std::string& key = keys[place];
    const uint32_t before = slots[place++];
    const size_t first = items.size();
    uint32_t now = 0;
    if (!change.removes) {
      std::vector<Passage> passages = split_passages(change.document);
      if (passages.empty()) passages.emplace_back();  // it is found by its title
      now = static_cast<uint32_t>(passages.size());
      append_document(change.document, passages, std::max(before, now), analyzer_, items);
    }
    for (uint32_t ordinal = now; ordinal < before; ++ordinal)
      items.push_back(removal(id, key, passage_key(key, ordinal)));
    // Last, as it tells how many passages there are.
    if (change.removes && before > 0) items.push_back(removal(id, key, key));
    for (size_t i = first; i < items.size(); ++i) bytes += items[i].lines.size();
    WENQU_RETURN_IF_ERROR(send_pieces(kRequestBytes));
  }
  return send_pieces(0);
}

Status RemoteIndex::send(const std::vector<BulkItem>& items) const { return cluster_->bulk(items, {}); }

Status RemoteIndex::commit() {
  WENQU_RETURN_IF_ERROR(check_writable());
  const std::lock_guard lock(mutex_);
  WENQU_RETURN_IF_ERROR(flush());
  WENQU_RETURN_IF_ERROR(send({commit_note(commit_ + 1)}));
  ++commit_;
  WENQU_RETURN_IF_ERROR(cluster_->refresh({}));
  statistics_.forget();
  return {};
}

Status RemoteIndex::make_visible() {
  WENQU_RETURN_IF_ERROR(check_writable());
  const std::lock_guard lock(mutex_);
  WENQU_RETURN_IF_ERROR(flush());
  WENQU_RETURN_IF_ERROR(cluster_->refresh({}));
  statistics_.forget();
  return {};
}

Status RemoteIndex::refresh() {
  WENQU_ASSIGN_OR_RETURN(const uint64_t commit, read_commit(*cluster_));
  if (commit != commit_.exchange(commit)) statistics_.forget();
  return {};
}

IndexStats RemoteIndex::stats() const {
  IndexStats stats;
  stats.commit = commit_;
  if (const auto known = statistics_.of({}, {})) {
    stats.documents = known->totals.documents;
    stats.passages = known->totals.passages;
  }
  return stats;
}

}  // namespace

Result<std::unique_ptr<Index>> open_remote_index(const std::string& url, Index::Mode mode,
                                                 const IndexOptions& options) {
  if (options.models.embedding)
    return Status(StatusCode::unsupported, "an index in a cluster has no vectors: leave the embedding model out",
                  redact_url(url));
  if (options.vocabulary.any())
    return Status(StatusCode::unsupported, "an index in a cluster is taught no words, synonyms or pinyin: leave them out",
                  redact_url(url));
  WENQU_ASSIGN_OR_RETURN(auto cluster, Cluster::open(url, options.remote));
  Status status = cluster->check_index({});
  if (mode == Index::Mode::write && status.code() == StatusCode::not_found) {
    WENQU_RETURN_IF_ERROR(cluster->create_index(index_definition(options.ranking), {}));
    status = cluster->check_index({});
  }
  WENQU_RETURN_IF_ERROR(status);
  WENQU_RETURN_IF_ERROR(cluster->check_health({}));
  WENQU_ASSIGN_OR_RETURN(const uint64_t commit, RemoteIndex::read_commit(*cluster));
  return std::unique_ptr<Index>(
      std::make_unique<RemoteIndex>(std::move(cluster), mode == Index::Mode::write, options, commit));
}

}  // namespace wenqu::retrieval
