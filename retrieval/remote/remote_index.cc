#include "retrieval/remote/remote_index.h"

#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include "base/utf8.h"
#include "retrieval/analysis/lexicon.h"
#include "retrieval/index_rules.h"
#include "retrieval/query/question_terms.h"
#include "retrieval/rank/bm25.h"
#include "retrieval/remote/cluster.h"
#include "retrieval/remote/remote_search.h"
#include "retrieval/remote/remote_vocabulary.h"
#include "retrieval/remote/remote_writer.h"
#include "retrieval/vectors/embed_texts.h"

namespace wenqu::retrieval {
namespace {

// A document is one part of a request, which has its limit.
constexpr size_t kMostText = size_t{32} << 20;

Result<uint64_t> read_commit(const Cluster& cluster, const CancelToken& cancel) {
  auto body = cluster.get(std::string(kCommitKey), cancel);
  if (body.status().code() == StatusCode::not_found) return uint64_t{0};
  if (!body) return body.status();
  auto commit = parse_commit(std::move(*body));
  return commit ? commit : Result<uint64_t>(commit.status().at(cluster.name()));
}

class RemoteIndex final : public Index {
 public:
  RemoteIndex(std::unique_ptr<Cluster> cluster, Mode mode, const IndexOptions& options, bool has_vectors, uint64_t commit,
              std::shared_ptr<const Lexicon> lexicon)
      : cluster_(std::move(cluster)),
        options_(options),
        statistics_(*cluster_),
        search_(*cluster_, statistics_, options_, has_vectors && options.models.embedding),
        commit_(commit),
        lexicon_(std::move(lexicon)) {
    if (mode == Mode::write) writer_.emplace(*cluster_, lexicon_, has_vectors ? options.models.embedding : EmbeddingModel());
  }

  Result<SearchResponse> search(const SearchRequest& request, const CancelToken& cancel) const override {
    WENQU_ASSIGN_OR_RETURN(std::vector<SearchResponse> responses, search_all({&request, 1}, cancel));
    return std::move(responses.front());
  }
  Result<std::vector<SearchResponse>> search_all(std::span<const SearchRequest> requests,
                                                 const CancelToken& cancel) const override {
    return search_.search_all(requests, lexicon(), cancel);
  }
  Result<std::vector<WeighedTerm>> weigh(std::string_view text, bool is_question, const CancelToken& cancel) const override;
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
  Status refresh(const CancelToken& cancel) override;
  Status scrub(const CancelToken& cancel) const override {
    WENQU_RETURN_IF_ERROR(cluster_->check_health(cancel));
    return cluster_->check_index(cancel).status();
  }
  IndexStats stats() const override;

 private:
  std::shared_ptr<const Lexicon> lexicon() const {
    const std::lock_guard lock(mutex_);
    return lexicon_;
  }
  Status check_writable() const {
    if (writer_) return {};
    return Status(StatusCode::unsupported, "the index was opened for reading", cluster_->name());
  }
  Status show();

  const std::unique_ptr<Cluster> cluster_;
  const IndexOptions options_;
  RemoteStatistics statistics_;
  const RemoteSearch search_;
  std::optional<RemoteWriter> writer_;   // none when opened for reading
  std::mutex commit_mutex_;              // one commit at a time, and none amid a refresh
  std::atomic<uint64_t> commit_;
  mutable std::mutex mutex_;             // held only to copy the pointer
  std::shared_ptr<const Lexicon> lexicon_;
};

Result<std::vector<WeighedTerm>> RemoteIndex::weigh(std::string_view text, bool is_question, const CancelToken& cancel) const {
  WENQU_RETURN_IF_ERROR(check_query_size(text));
  const std::string clean = utf8_sanitize(text);
  const std::shared_ptr<const Lexicon> taught = lexicon();
  const Analyzer analyzer(taught);
  std::vector<QuestionTerm> terms =
      is_question ? search_terms(analyzer.analyze_question(clean)) : distinct_terms(analyzer.analyze(clean));
  if (!is_question)
    std::erase_if(terms, [](const QuestionTerm& term) {
      return term.term.kind == Term::Kind::dictionary_word || term.term.kind == Term::Kind::pinyin;
    });
  std::vector<RemoteTerm> wanted;
  for (const QuestionTerm& term : terms)
    wanted.emplace_back(body_field(term.term.kind), index_term_bytes(term.term.text));
  WENQU_ASSIGN_OR_RETURN(const TermStatistics statistics, statistics_.of(wanted, cancel));
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
  if (is_question && !taught->synonyms().empty()) name_synonyms(taught->synonyms(), analyzer.analyze(clean), weighed);
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
  WENQU_RETURN_IF_ERROR(check_properties(clean));
  WENQU_RETURN_IF_ERROR(check_acl(clean));
  WENQU_RETURN_IF_ERROR(check_passages(clean));
  return writer_->add(std::move(clean));
}

Status RemoteIndex::remove(const std::string& document_id) {
  WENQU_RETURN_IF_ERROR(check_writable());
  const std::string id = utf8_sanitize(document_id);
  WENQU_RETURN_IF_ERROR(check_id(id));
  return writer_->remove(id);
}

// What was sent is searched from now on.
Status RemoteIndex::show() {
  WENQU_RETURN_IF_ERROR(cluster_->refresh({}));
  statistics_.forget();
  return {};
}

Status RemoteIndex::commit() {
  WENQU_RETURN_IF_ERROR(check_writable());
  const std::lock_guard lock(commit_mutex_);
  WENQU_RETURN_IF_ERROR(writer_->send_all({commit_note(commit_ + 1)}));
  ++commit_;
  return show();
}

Status RemoteIndex::make_visible() {
  WENQU_RETURN_IF_ERROR(check_writable());
  WENQU_RETURN_IF_ERROR(writer_->send_all({}));
  return show();
}

Status RemoteIndex::refresh(const CancelToken& cancel) {
  const std::lock_guard lock(commit_mutex_);
  WENQU_ASSIGN_OR_RETURN(const uint64_t commit, read_commit(*cluster_, cancel));
  if (commit == commit_) return {};
  // A writer goes on as it began: its documents were read with these words.
  if (!writer_) {
    WENQU_ASSIGN_OR_RETURN(std::shared_ptr<const Lexicon> newest, read_remote_lexicon(*cluster_, lexicon(), cancel));
    const std::lock_guard lexicon_lock(mutex_);
    lexicon_ = std::move(newest);
  }
  commit_ = commit;
  statistics_.forget();
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

// Whether the index has vectors for the options' model, and the model is the one. Writers without it would leave passages
// that no vector finds.
Status check_vectors(const Cluster& cluster, const RemoteVectors& vectors, Index::Mode mode, const IndexModels& models) {
  if (vectors.identity.empty()) {
    if (!models.embedding || mode == Index::Mode::read) return {};
    return Status(StatusCode::unsupported, "the index was made without an embedding model, and gets no vectors later: make another one with it",
                  cluster.name());
  }
  if (!models.embedding) {
    if (mode == Index::Mode::read) return {};
    return Status(StatusCode::unsupported, "the passages of the index have vectors: write to it with its embedding model (`wenqu index --embed`)",
                  cluster.name());
  }
  if (models.embed_again)
    return Status(StatusCode::unsupported, "vectors in a cluster are not made anew: make another index", cluster.name());
  if (vectors.identity != models.embedding.identity || vectors.dimensions != models.embedding.dimensions)
    return Status(StatusCode::version_mismatch,
                  "the vectors of the index were made by another embedding model, or with other prefixes: use that one, or make another index",
                  cluster.name());
  return {};
}

}  // namespace

Result<std::unique_ptr<Index>> open_remote_index(const std::string& url, Index::Mode mode,
                                                 const IndexOptions& options) {
  const EmbeddingModel& embedding = options.models.embedding;
  if (embedding) WENQU_RETURN_IF_ERROR(check_embedding_model(embedding));
  WENQU_ASSIGN_OR_RETURN(auto cluster, Cluster::open(url, options.remote));
  auto origin = cluster->check_index({});
  if (mode == Index::Mode::write && origin.status().code() == StatusCode::not_found) {
    RemoteVectors vectors;
    if (embedding) {
      if (!cluster->searches_vectors())
        return Status(StatusCode::unsupported,
                      "the server is version " + cluster->server().version +
                          ", which searches no vectors as we need it: Elasticsearch 8.4 or OpenSearch 2.4 and later do",
                      cluster->name());
      vectors = {embedding.identity, static_cast<uint32_t>(embedding.dimensions)};
    }
    WENQU_RETURN_IF_ERROR(cluster->create_index(index_definition(options.ranking, vectors, cluster->server().is_opensearch), {}));
    origin = cluster->check_index({});
  }
  if (!origin) return origin.status();
  WENQU_RETURN_IF_ERROR(check_vectors(*cluster, origin->vectors, mode, options.models));
  WENQU_RETURN_IF_ERROR(cluster->check_health({}));
  WENQU_ASSIGN_OR_RETURN(const uint64_t commit, read_commit(*cluster, {}));
  WENQU_ASSIGN_OR_RETURN(std::shared_ptr<const Lexicon> lexicon, read_remote_lexicon(*cluster, nullptr, {}));
  if (options.vocabulary.any()) {
    if (mode == Index::Mode::write) {
      WENQU_ASSIGN_OR_RETURN(lexicon, teach_remote_index(*cluster, std::move(lexicon), options.vocabulary));
    } else {
      WENQU_RETURN_IF_ERROR(check_same_words(lexicon->vocabulary(), options.vocabulary, remote_words_mismatch(*cluster)));
    }
  }
  return std::unique_ptr<Index>(std::make_unique<RemoteIndex>(std::move(cluster), mode, options, !origin->vectors.identity.empty(), commit,
                                                              std::move(lexicon)));
}

}  // namespace wenqu::retrieval
