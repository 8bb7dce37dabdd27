#include "retrieval/index.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <utility>

#include "base/http/url.h"
#include "base/utf8.h"
#include "retrieval/hybrid/hybrid_search.h"
#include "retrieval/index/open_commit.h"
#include "retrieval/index/passage_reader.h"
#include "retrieval/index/snapshot.h"
#include "retrieval/index/upkeep.h"
#include "retrieval/index/writer.h"
#include "retrieval/index_rules.h"
#include "retrieval/query/question_terms.h"
#include "retrieval/query/snapshot_counts.h"
#include "retrieval/rank/bm25.h"
#include "retrieval/rank/other_words.h"
#include "retrieval/rank/ranking.h"
#include "retrieval/rank/rescore.h"
#include "retrieval/remote/remote_index.h"
#include "retrieval/result_cache.h"
#include "retrieval/similar/collapse.h"

namespace wenqu::retrieval {
namespace {

class LocalIndex final : public Index {
 public:
  LocalIndex(IndexPaths paths, std::unique_ptr<Writer> writer, std::shared_ptr<const Snapshot> snapshot,
             const IndexOptions& options)
      : paths_(std::move(paths)),
        options_(options),
        hybrid_(paths_, options.models.embedding, options.models.rerank),
        writer_(std::move(writer)),
        snapshot_(std::move(snapshot)) {
    if (!writer_) return;
    hybrid_.show(writer_->vectors());
    const Upkeep::Options upkeep{options.own_threads, options.visible_within, options.durable_within};
    upkeep_ = std::make_unique<Upkeep>(
        *writer_, change_mutex_, [this](const std::shared_ptr<const Snapshot>&) { show_written(); }, upkeep);
    // Vectors that were lacking are changes already.
    const std::lock_guard lock(change_mutex_);
    if (writer_->has_uncommitted_changes()) upkeep_->note_change();
  }
  // The threads of its upkeep are not in a child that was forked, where their end would be waited for in vain.
  ~LocalIndex() override {
    if (::getpid() != owner_) (void)upkeep_.release();
  }

  // Shows the newest commit with its vectors. One whose vectors are gone before they are read is the newest no more.
  Status show_newest() {
    constexpr int kAttempts = 20;
    for (int attempt = 1;; ++attempt) {
      WENQU_ASSIGN_OR_RETURN(auto newest, open_newest_commit(paths_, current()));
      const Status loaded = hybrid_.load(*newest);
      show(newest);
      if (loaded || attempt == kAttempts) return loaded;
      const auto manifest = read_manifest(paths_.manifest);
      if (!manifest || *manifest == newest->manifest()) return loaded;
    }
  }

  Result<SearchResponse> search(const SearchRequest& request, const CancelToken& cancel) const override;
  Result<std::vector<WeighedTerm>> weigh(std::string_view text, bool is_question, const CancelToken&) const override;
  Result<Document> fetch(const std::string& document_id) const override;
  Status add(const Document& document) override;
  Status remove(const std::string& document_id) override;
  Status commit() override;
  Status make_visible() override;
  Status optimize(const CancelToken& cancel) override;
  Status upkeep_status() const override { return upkeep_ ? upkeep_->status() : Status(); }
  Status refresh(const CancelToken&) override;
  Status scrub(const CancelToken& cancel) const override;
  IndexStats stats() const override;

 private:
  // A request as it is understood.
  struct Question {
    const std::shared_ptr<const Snapshot>& snapshot;
    const SearchRequest& request;
    const std::string& text;
    const std::vector<QuestionTerm>& terms;
    const std::vector<float>& vector;   // empty: it is not searched by
    const PassageSet* among;            // null: all
  };
  Result<bool> list(const Question& asking, PassageReader& reader, size_t listed, const CancelToken& cancel, SearchResponse& response) const;

  std::shared_ptr<const Snapshot> current() const {
    const std::lock_guard lock(snapshot_mutex_);
    return snapshot_;
  }
  // What was found in that snapshot; null when another one is searched by now.
  std::shared_ptr<ResultCache> results_of(const std::shared_ptr<const Snapshot>& snapshot) const {
    const std::lock_guard lock(snapshot_mutex_);
    return snapshot == snapshot_ ? results_ : nullptr;
  }
  // After its vectors, so that nothing that is found without them is kept.
  void show(std::shared_ptr<const Snapshot> snapshot) {
    auto results = std::make_shared<ResultCache>(options_.result_cache_bytes);
    auto vectors = hybrid_.vectors();
    const std::lock_guard lock(snapshot_mutex_);
    if (snapshot != snapshot_ || vectors != vectors_of_results_) results_.swap(results);
    vectors_of_results_.swap(vectors);
    snapshot_.swap(snapshot);
  }
  // What the writer has made visible. REQUIRES: change_mutex_ is held
  void show_written() {
    hybrid_.show(writer_->vectors());
    show(writer_->snapshot());
  }
  Status check_writable() const {
    if (writer_) return {};
    return Status(StatusCode::unsupported, "the index was opened for reading", paths_.directory);
  }

  Status change(const std::function<Status()>& make);

 public:
  // Makes it one of several that are searched together.
  void search_together(std::vector<std::string> directories, std::vector<std::shared_ptr<const Snapshot>> newest) {
    together_ = std::move(directories);
    newest_ = std::move(newest);
  }

 private:

  const IndexPaths paths_;
  const IndexOptions options_;
  const pid_t owner_ = ::getpid();                 // the process that opened it
  HybridSearch hybrid_;
  std::mutex change_mutex_;                        // add, remove, commit, refresh
  const std::unique_ptr<Writer> writer_;           // null when opened for reading
  mutable std::mutex snapshot_mutex_;              // held only to copy the pointer
  std::shared_ptr<const Snapshot> snapshot_;       // null before the first commit
  std::shared_ptr<ResultCache> results_ = std::make_shared<ResultCache>(options_.result_cache_bytes);  // of snapshot_
  std::shared_ptr<const VectorSet> vectors_of_results_;
  std::vector<std::string> together_;              // directories, where several are searched as one
  std::vector<std::shared_ptr<const Snapshot>> newest_;   // of each
  std::unique_ptr<Upkeep> upkeep_;                 // null when opened for reading; ends first
};

// What a directory is called among others: its last part, or all of it where another ends alike.
std::string name_of(const std::vector<std::string>& directories, size_t i) {
  const auto last = [](std::string path) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    return path.substr(path.rfind('/') + 1);
  };
  const std::string name = last(directories[i]);
  for (size_t other = 0; other < directories.size(); ++other)
    if (other != i && last(directories[other]) == name) return directories[i];
  return name;
}

// The newest commits of several indexes as one. What is open in `earlier` (may be null) is used again.
Result<std::shared_ptr<const Snapshot>> open_all(const std::vector<std::string>& directories,
                                                 const std::shared_ptr<const Snapshot>& earlier,
                                                 std::vector<std::shared_ptr<const Snapshot>>& newest) {
  bool changed = !earlier;
  newest.resize(directories.size());
  std::vector<std::shared_ptr<const Snapshot>> parts;
  std::vector<std::string> names;
  for (size_t i = 0; i < directories.size(); ++i) {
    auto opened = open_newest_commit(IndexPaths(directories[i]), newest[i]);
    if (!opened && opened.status().code() == StatusCode::not_found) {
      WENQU_ASSIGN_OR_RETURN(const bool there, exists(directories[i]));
      if (!there && !earlier) return Status(StatusCode::not_found, "there is no such index", directories[i]);
      continue;   // nothing was committed yet, or it is gone since
    }
    if (!opened) return opened.status();
    changed = changed || *opened != newest[i];
    newest[i] = std::move(*opened);
    parts.push_back(newest[i]);
    names.push_back(name_of(directories, i));
  }
  if (!changed) return earlier;
  return Snapshot::combine(std::move(parts), names, earlier.get());
}

// The passage that was found, with all that an answer needs of its document.
Result<Hit> make_hit(PassageReader& reader, const ScoredPassage& scored) {
  Hit hit;
  WENQU_ASSIGN_OR_RETURN(hit.passage, reader.take_passage(scored.doc));
  WENQU_ASSIGN_OR_RETURN(const Document* document, reader.document(scored.doc));
  hit.passage.document_id = document->id;
  hit.collection = reader.snapshot().collection_of(scored.doc);
  hit.score = scored.score;
  hit.title = document->title;
  hit.url = document->url;
  hit.source = document->source;
  hit.author = document->author;
  hit.published_at = document->published_at;
  hit.attributes = document->attributes;
  return hit;
}

// The best `listed` hits, from the first on where the request's are known only then; whether there are more.
Result<bool> LocalIndex::list(const Question& asking, PassageReader& reader, size_t listed, const CancelToken& cancel, SearchResponse& response) const {
  const SearchRequest& request = asking.request;
  const size_t neighbours = response.dense ? candidates_for(listed, request.hybrid.candidates) : 0;
  RankRequest wanted;
  wanted.parameters = options_.ranking;
  wanted.top = candidates_for(std::max({listed, neighbours, second_stage(options_.ranking)}), options_.ranking.rescored);
  wanted.one_per_document = request.one_per_document;
  wanted.among = asking.among;
  wanted.threads = std::max<size_t>(options_.search_threads, 1);
  WENQU_ASSIGN_OR_RETURN(Ranking ranking, rank_passages(*asking.snapshot, asking.terms, wanted, cancel));
  const bool all_came = ranking.best.size() < wanted.top;   // the total may be an estimate
  if (request.one_per_document) wanted.parameters.nearby = 0;
  WENQU_RETURN_IF_ERROR(rescore(reader, asking.text, asking.terms, wanted.parameters, cancel, ranking.best));
  size_t near = 0;
  if (response.dense) {
    WENQU_ASSIGN_OR_RETURN(near, hybrid_.fuse_dense(*asking.snapshot, request, asking.vector, asking.among, neighbours, cancel, ranking.best));
  }
  response.total = std::max(ranking.total, ranking.best.size());
  response.total_is_exact = ranking.total_is_exact && response.total == ranking.total;
  const bool has_more = ranking.best.size() > listed || (!all_came && response.total > ranking.best.size()) || (near > 0 && near == neighbours);
  if (ranking.best.size() > listed) ranking.best.resize(listed);
  // Which hits are copies of better ones, and which are better in other eyes, is known only from the first on.
  const size_t first = request.collapse_duplicates || response.reranked ? 0 : std::min(request.offset, ranking.best.size());
  response.hits.clear();
  for (size_t place = first; place < ranking.best.size(); ++place) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    WENQU_ASSIGN_OR_RETURN(Hit hit, make_hit(reader, ranking.best[place]));
    response.hits.push_back(std::move(hit));
  }
  return has_more;
}

Result<SearchResponse> LocalIndex::search(const SearchRequest& request, const CancelToken& cancel) const {
  WENQU_RETURN_IF_ERROR(check_search(request));
  WENQU_RETURN_IF_ERROR(cancel.status());
  SearchResponse response;
  const auto snapshot = current();
  if (!snapshot) return response;
  const auto results = results_of(snapshot);
  if (results)
    if (auto known = results->find(request)) return *std::move(known);
  const Analyzer analyzer(snapshot->lexicon());
  const std::string question = utf8_sanitize(request.query);
  std::vector<Term> terms = analyzer.analyze_question(question);
  std::vector<QuestionTerm> asked = search_terms(terms);
  SnapshotCounts counts(*snapshot);
  WENQU_RETURN_IF_ERROR(add_other_words(snapshot->lexicon(), counts, question, options_.ranking, asked, terms));
  WENQU_ASSIGN_OR_RETURN(response.dense, hybrid_.is_dense(request.hybrid));
  WENQU_ASSIGN_OR_RETURN(response.reranked, hybrid_.reranks(request.hybrid));
  // A model that ranks again looks at the same ones for every page.
  const size_t end = std::max(request.offset + request.top, response.reranked ? request.hybrid.reranked : 0);
  WENQU_ASSIGN_OR_RETURN(const auto among, snapshot->filter().passages(request.sources, request.filter));
  std::vector<float> vector;
  if (response.dense) {
    WENQU_ASSIGN_OR_RETURN(vector, hybrid_.vector_of(request.query, cancel));
  }
  const Question asking{snapshot, request, question, asked, vector, among.get()};
  PassageReader reader(*snapshot);
  // Where most are copies, more are listed until enough are left.
  size_t listed = request.collapse_duplicates ? std::min(kMaxTop, end * 2) : end;
  for (;; listed = std::min(kMaxTop, listed * 4)) {
    WENQU_ASSIGN_OR_RETURN(const bool has_more, list(asking, reader, listed, cancel, response));
    if (!request.collapse_duplicates) break;
    collapse_near_duplicates(response.hits);
    if (response.hits.size() >= end || !has_more || listed == kMaxTop) break;
  }
  if (response.reranked) WENQU_RETURN_IF_ERROR(hybrid_.rerank(request, cancel, response.hits));
  const size_t passed_over = request.collapse_duplicates || response.reranked ? request.offset : 0;
  response.hits.erase(response.hits.begin(), response.hits.begin() + static_cast<ptrdiff_t>(std::min(passed_over, response.hits.size())));
  if (response.hits.size() > request.top) response.hits.resize(request.top);
  if (request.snippets) add_snippets(terms, analyzer, response.hits);
  if (results) results->keep(request, response);
  return response;
}

Result<std::vector<WeighedTerm>> LocalIndex::weigh(std::string_view text, bool is_question, const CancelToken&) const {
  WENQU_RETURN_IF_ERROR(check_query_size(text));
  const std::string clean = utf8_sanitize(text);
  const auto snapshot = current();
  const Analyzer analyzer = snapshot ? Analyzer(snapshot->lexicon()) : Analyzer();
  std::vector<WeighedTerm> weighed;
  for (QuestionTerm& term : is_question ? search_terms(analyzer.analyze_question(clean)) : distinct_terms(analyzer.analyze(clean))) {
    if (!is_question && (term.term.kind == Term::Kind::dictionary_word || term.term.kind == Term::Kind::pinyin)) continue;
    WeighedTerm entry;
    entry.range = term.term.range;
    entry.is_unigram = term.term.kind == Term::Kind::unigram;
    entry.is_dictionary_word = term.term.kind == Term::Kind::dictionary_word;
    if (snapshot) {
      WENQU_ASSIGN_OR_RETURN(entry.passages, snapshot->holders(body_field(term.term.kind), term.key));
      entry.weight = inverse_document_frequency(snapshot->passages(), entry.passages);
    }
    entry.text = std::move(term.term.text);
    weighed.push_back(std::move(entry));
  }
  if (is_question && snapshot && !snapshot->lexicon()->synonyms().empty())
    name_synonyms(snapshot->lexicon()->synonyms(), analyzer.analyze(clean), weighed);
  return weighed;
}

Result<Document> LocalIndex::fetch(const std::string& document_id) const {
  const auto snapshot = current();
  if (!snapshot) return Status(StatusCode::not_found, "no document has this id", document_id);
  WENQU_ASSIGN_OR_RETURN(const int32_t record, snapshot->find(utf8_sanitize(document_id)));
  return snapshot->read_document(record, true);
}

// A change through the writer. It is shown as far as it is visible: a failure may have taken that back.
Status LocalIndex::change(const std::function<Status()>& make) {
  const std::lock_guard lock(change_mutex_);
  const Status status = make();
  show_written();
  upkeep_->note_change();
  return status;
}

Status LocalIndex::add(const Document& document) {
  WENQU_RETURN_IF_ERROR(check_writable());
  if (document.text.size() > kMaxTextBytes)
    return Status(StatusCode::limit_exceeded, "the text is larger than 64 MiB: split the document", document.id);
  const Document clean = clean_document(document);
  WENQU_RETURN_IF_ERROR(check_id(clean.id));
  WENQU_RETURN_IF_ERROR(check_properties(clean));
  WENQU_RETURN_IF_ERROR(check_acl(clean));
  WENQU_RETURN_IF_ERROR(check_passages(clean));
  upkeep_->wait_for_room();
  return change([&] { return writer_->add(clean); });
}

Status LocalIndex::remove(const std::string& document_id) {
  WENQU_RETURN_IF_ERROR(check_writable());
  const std::string id = utf8_sanitize(document_id);
  WENQU_RETURN_IF_ERROR(check_id(id));
  return change([&] { return writer_->remove(id); });
}

Status LocalIndex::commit() {
  WENQU_RETURN_IF_ERROR(check_writable());
  WENQU_RETURN_IF_ERROR(change([&] { return writer_->commit(); }));
  // The commit stands whatever becomes of the merges; upkeep_status() tells.
  if (!options_.own_threads) (void)upkeep_->merge_now(MergeWish::as_needed, CancelToken()).is_ok();
  return {};
}

Status LocalIndex::make_visible() {
  WENQU_RETURN_IF_ERROR(check_writable());
  return change([&] { return writer_->refresh(); });
}

Status LocalIndex::optimize(const CancelToken& cancel) {
  WENQU_RETURN_IF_ERROR(check_writable());
  WENQU_RETURN_IF_ERROR(change([&] { return writer_->commit(); }));
  WENQU_RETURN_IF_ERROR(upkeep_->merge_now(MergeWish::one, cancel));
  return change([&] {
    writer_->join_vectors();
    return writer_->commit();
  });
}

Status LocalIndex::refresh(const CancelToken&) {
  if (writer_) return {};  // nobody else can have committed
  const std::lock_guard lock(change_mutex_);
  if (!together_.empty()) {
    WENQU_ASSIGN_OR_RETURN(auto combined, open_all(together_, current(), newest_));
    show(std::move(combined));
    return {};
  }
  return show_newest();
}

Status LocalIndex::scrub(const CancelToken& cancel) const {
  const auto snapshot = current();
  if (!snapshot) return {};
  WENQU_RETURN_IF_ERROR(snapshot->scrub(cancel));
  const Status vectors = check_vector_files(paths_, snapshot->manifest(), cancel);
  if (vectors.code() != StatusCode::not_found) return vectors;
  // Those of a commit that was followed by others go while it is still searched.
  const auto newest = read_manifest(paths_.manifest);
  return newest && newest->vectors != snapshot->manifest().vectors ? Status() : vectors;
}

IndexStats LocalIndex::stats() const {
  IndexStats stats;
  if (const auto snapshot = current()) {
    stats.documents = snapshot->documents();
    stats.passages = snapshot->passages();
    stats.bytes = snapshot->bytes();
    stats.commit = snapshot->manifest().commit;
    if (const auto vectors = hybrid_.vectors()) stats.vectors = vectors->size();
  }
  return stats;
}

}  // namespace

Result<std::unique_ptr<Index>> Index::open(const std::string& directory, Mode mode, const IndexOptions& options) {
  if (directory.empty()) return Status(StatusCode::invalid_argument, "the index needs a directory");
  if (looks_like_url(directory)) return open_remote_index(directory, mode, options);
  IndexPaths paths(directory);
  if (mode == Mode::write) {
    WENQU_ASSIGN_OR_RETURN(auto writer, Writer::open(paths, {options.buffer_bytes, options.merge_factor, false, options.vocabulary}));
    if (options.models.embedding)
      WENQU_RETURN_IF_ERROR(writer->use_vectors(options.models.embedding, options.models.embed_again));
    auto snapshot = writer->snapshot();
    return std::unique_ptr<Index>(
        std::make_unique<LocalIndex>(std::move(paths), std::move(writer), std::move(snapshot), options));
  }
  auto snapshot = open_newest_commit(paths, nullptr);
  if (!snapshot) return snapshot.status();
  if (options.vocabulary.any()) WENQU_RETURN_IF_ERROR(check_same_words((*snapshot)->lexicon()->vocabulary(), options.vocabulary, other_words_mismatch(directory)));
  auto index = std::make_unique<LocalIndex>(std::move(paths), nullptr, std::move(*snapshot), options);
  if (options.models.embedding) WENQU_RETURN_IF_ERROR(index->show_newest());
  return std::unique_ptr<Index>(std::move(index));
}

Result<std::unique_ptr<Index>> Index::open_together(const std::vector<std::string>& directories) {
  if (directories.empty()) return Status(StatusCode::invalid_argument, "name at least one index");
  for (const std::string& directory : directories)
    if (looks_like_url(directory))
      return Status(StatusCode::unsupported, "an index in a cluster is not searched together with others", redact_url(directory));
  std::vector<std::shared_ptr<const Snapshot>> newest;
  WENQU_ASSIGN_OR_RETURN(auto combined, open_all(directories, nullptr, newest));
  auto index = std::make_unique<LocalIndex>(IndexPaths(directories.front()), nullptr, std::move(combined), IndexOptions());
  index->search_together(directories, std::move(newest));
  return std::unique_ptr<Index>(std::move(index));
}

}  // namespace wenqu::retrieval
