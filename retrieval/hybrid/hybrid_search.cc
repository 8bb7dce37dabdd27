#include "retrieval/hybrid/hybrid_search.h"

#include <algorithm>

#include "base/utf8.h"
#include "retrieval/hybrid/fusion.h"
#include "retrieval/hybrid/rerank.h"
#include "retrieval/vectors/embed_texts.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMostAsked = 16;   // times as many neighbours as are wanted, before each one's place is looked up

// The record of a document, and -1 when it is there no more.
Result<int32_t> find_record(const Snapshot& snapshot, const std::string& document_id) {
  const auto record = snapshot.find(document_id);
  if (record.status().code() == StatusCode::not_found) return -1;
  return record;
}

// The passage that a vector stands for: -1 when it is there no more. Vectors of another commit are held against the text
// they were made of.
Result<int32_t> locate(const Snapshot& snapshot, int32_t record, uint32_t ordinal, const VectorKey& key, bool same_commit) {
  const int64_t doc = int64_t{record} + 1 + ordinal;
  const std::vector<uint8_t>& kinds = snapshot.kinds();
  if (record < 0 || doc >= static_cast<int64_t>(kinds.size())) return -1;
  for (int64_t i = int64_t{record} + 1; i <= doc; ++i)
    if (kinds[static_cast<size_t>(i)] >= Snapshot::kRecord) return -1;
  if (same_commit) return static_cast<int32_t>(doc);
  WENQU_ASSIGN_OR_RETURN(const Document document, snapshot.read_document(record, false));
  WENQU_ASSIGN_OR_RETURN(const Passage passage, snapshot.read_passage(static_cast<int32_t>(doc)));
  return vector_key(embedded_text(document.title, passage.text)) == key ? static_cast<int32_t>(doc) : -1;
}

// Best first; ties by document id, then ordinal, as all rankings are.
Status sort_best(const Snapshot& snapshot, std::vector<ScoredPassage>& passages) {
  std::sort(passages.begin(), passages.end(), [](const ScoredPassage& a, const ScoredPassage& b) { return a.score > b.score; });
  std::vector<int32_t> tied;
  for (size_t begin = 0, end = 0; begin < passages.size(); begin = end) {
    tied.clear();
    for (; end < passages.size() && passages[end].score == passages[begin].score; ++end) tied.push_back(passages[end].doc);
    if (tied.size() == 1) continue;
    WENQU_RETURN_IF_ERROR(snapshot.keep_first_by_id(tied, tied.size()));
    for (size_t i = begin; i < end; ++i) passages[i].doc = tied[i - begin];
  }
  return {};
}

// Whether the vectors were written with exactly these passages: what a refresh shows bears the number of the commit
// before, but lists no vectors.
bool are_of(const VectorSet& vectors, const Snapshot& snapshot) {
  return vectors.commit() == snapshot.manifest().commit && !snapshot.manifest().vectors.empty();
}

}  // namespace

Status HybridSearch::load(const Snapshot& snapshot) {
  if (!model_) return {};
  const std::shared_ptr<const VectorSet> before = vectors();
  auto set = VectorSet::open(paths_, snapshot.manifest(), before.get());
  if (set.status().code() == StatusCode::not_found && snapshot.manifest().vectors.empty()) {
    show(nullptr);
    return {};
  }
  if (!set)
    return Status(set.status().code() == StatusCode::not_found ? StatusCode::corrupt : set.status().code(),
                  "the vectors of the index cannot be used: " + set.status().message() +
                      "; searching without an embedding model works, and `wenqu check --repair` drops them",
                  set.status().where());
  if ((*set)->identity() != model_.identity || (*set)->dimensions() != model_.dimensions)
    return Status(StatusCode::version_mismatch,
                  "the vectors of the index were made by another embedding model, or with other prefixes: search with that one, or without one",
                  paths_.directory);
  show(std::move(*set));
  return {};
}

void HybridSearch::show(std::shared_ptr<const VectorSet> vectors) {
  const std::lock_guard lock(mutex_);
  vectors_.swap(vectors);
}

std::shared_ptr<const VectorSet> HybridSearch::vectors() const {
  const std::lock_guard lock(mutex_);
  return vectors_;
}

Result<bool> HybridSearch::is_dense(const HybridOptions& options) const {
  WENQU_RETURN_IF_ERROR(check_hybrid(options));
  if (options.dense == HybridOptions::Use::never) return false;
  const bool able = model_ && vectors();
  if (able || options.dense == HybridOptions::Use::automatic) return able;
  return Status(StatusCode::unsupported,
                model_ ? "the index has no vectors: add documents with an embedding model (`wenqu index --embed`)"
                       : "a search by vectors needs the embedding model that the index was made with",
                paths_.directory);
}

Result<std::shared_ptr<const HybridSearch::Places>> HybridSearch::places(const Snapshot& snapshot,
                                                                         const std::shared_ptr<const VectorSet>& set,
                                                                         const CancelToken& cancel) const {
  {
    const std::lock_guard lock(mutex_);
    if (places_ && places_->vectors == set && places_->manifest == snapshot.manifest()) return places_;
  }
  auto made = std::make_shared<Places>(Places{snapshot.manifest(), set, {}});
  const bool same_commit = are_of(*set, snapshot);
  for (const VectorSet::Part& part : set->parts()) {
    std::vector<int32_t>& docs = made->docs.emplace_back(part.segment->size(), -1);
    const std::vector<VectorSegment::Document>& documents = part.segment->documents();
    for (size_t d = 0; d < documents.size(); ++d) {
      if (part.deleted[documents[d].first]) continue;
      WENQU_RETURN_IF_ERROR(cancel.status());
      WENQU_ASSIGN_OR_RETURN(const int32_t record, find_record(snapshot, documents[d].id));
      for (uint32_t entry = documents[d].first; entry < part.segment->end_of(d); ++entry) {
        WENQU_ASSIGN_OR_RETURN(docs[entry], locate(snapshot, record, entry - documents[d].first, part.segment->key(entry), same_commit));
      }
    }
  }
  const std::lock_guard lock(mutex_);
  places_ = made;
  return std::shared_ptr<const Places>(std::move(made));
}

Result<std::vector<float>> HybridSearch::vector_of(const std::string& question, const CancelToken& cancel) const {
  std::vector<float> vector;
  if (!vectors()) return vector;
  const std::string query = utf8_sanitize(question);
  WENQU_ASSIGN_OR_RETURN(vector, embed_texts(model_, {&query, 1}, TextRole::query, cancel));
  if (is_zero(vector)) vector.clear();
  return vector;
}

Result<std::vector<ScoredPassage>> HybridSearch::find(const Snapshot& snapshot, const std::vector<float>& vector, const PassageSet* among,
                                                      size_t count, const CancelToken& cancel) const {
  std::vector<ScoredPassage> best;
  const std::shared_ptr<const VectorSet> set = vectors();
  if (!set || vector.empty()) return best;

  const bool same_commit = are_of(*set, snapshot);
  const auto wanted = [&](int32_t doc) { return !among || among->contains(doc); };
  const auto take = [&](const std::vector<VectorSet::Neighbour>& near) -> Status {
    best.clear();
    for (const VectorSet::Neighbour& neighbour : near) {
      if (best.size() == count) break;
      WENQU_ASSIGN_OR_RETURN(const int32_t record, find_record(snapshot, *neighbour.document_id));
      WENQU_ASSIGN_OR_RETURN(const int32_t doc, locate(snapshot, record, neighbour.ordinal, *neighbour.key, same_commit));
      if (doc >= 0 && wanted(doc)) best.push_back({doc, neighbour.similarity});
    }
    return {};
  };
  // Neighbours that the request may not have make room for others, which lie farther.
  for (size_t asked = count; asked <= kMostAsked * count; asked *= 4) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    WENQU_ASSIGN_OR_RETURN(const std::vector<VectorSet::Neighbour> near, set->nearest(vector, asked));
    WENQU_RETURN_IF_ERROR(take(near));
    if (best.size() == count || asked >= set->size()) return best;
  }
  // The request may have few of them: from here on it pays to know the place of each.
  WENQU_ASSIGN_OR_RETURN(const auto known, places(snapshot, set, cancel));
  WENQU_ASSIGN_OR_RETURN(const std::vector<VectorSet::Neighbour> near, set->nearest(vector, count, [&](size_t part, uint32_t entry) {
    const int32_t doc = known->docs[part][entry];
    return doc >= 0 && wanted(doc);
  }));
  WENQU_RETURN_IF_ERROR(take(near));
  return best;
}

Result<size_t> HybridSearch::fuse_dense(const Snapshot& snapshot, const SearchRequest& request, const std::vector<float>& vector,
                                        const PassageSet* among, size_t count, const CancelToken& cancel, std::vector<ScoredPassage>& best) const {
  WENQU_ASSIGN_OR_RETURN(const std::vector<ScoredPassage> dense, find(snapshot, vector, among, count, cancel));
  best = fuse(best, dense, request.hybrid, [&](int32_t doc) { return request.one_per_document ? snapshot.record_of(doc) : doc; });
  WENQU_RETURN_IF_ERROR(sort_best(snapshot, best));
  return dense.size();
}

}  // namespace wenqu::retrieval
