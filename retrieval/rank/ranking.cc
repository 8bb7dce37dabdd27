#include "retrieval/rank/ranking.h"

#include <lucene++/TermDocs.h>

#include <algorithm>
#include <array>

#include "retrieval/index/length_code.h"
#include "retrieval/rank/bm25.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

constexpr int32_t kBlock = 1024;  // postings read at once

// A document is as good as its best passage and a little of its second.
constexpr float kSecondPassageShare = 0.1f;

// The part of BM25 that depends only on the length, for each length code: k1 * (1 - b + b * l / avg).
std::array<float, 256> length_table(const Bm25Parameters& parameters, double average_length) {
  std::array<float, 256> table{};
  for (size_t code = 0; code < table.size(); ++code)
    table[code] = static_cast<float>(
        parameters.k1 * (1 - parameters.b +
                         parameters.b * decode_length(static_cast<uint8_t>(code)) / average_length));
  return table;
}

class Scorer {
 public:
  Scorer(const Snapshot& snapshot, const CancelToken& cancel)
      : snapshot_(snapshot), cancel_(cancel), scores_(snapshot.kinds().size()) {
    for (size_t field = 0; field < kTermFields; ++field)
      tables_[field] = length_table(bm25_parameters(static_cast<TermField>(field)),
                                    snapshot.average_length(static_cast<TermField>(field)));
    docs_ = Lucene::Collection<int32_t>::newInstance(kBlock);
    frequencies_ = Lucene::Collection<int32_t>::newInstance(kBlock);
  }

  Status add(TermField field, const std::wstring& term) {
    WENQU_ASSIGN_OR_RETURN(const uint64_t holders, snapshot_.holders(field, term));
    if (holders == 0) return {};
    const Bm25Parameters parameters = bm25_parameters(field);
    const auto weight = static_cast<float>(parameters.weight * (parameters.k1 + 1) *
                                           inverse_document_frequency(snapshot_.passages(), holders));
    const auto key =
        Lucene::newLucene<Lucene::Term>(Lucene::String(kTermFieldNames[static_cast<size_t>(field)]), term);
    for (const Snapshot::Segment& segment : snapshot_.segments()) {
      WENQU_RETURN_IF_ERROR(cancel_.status());
      add_segment(segment, key, weight, static_cast<size_t>(field));
    }
    return {};
  }

  const std::vector<float>& scores() const { return scores_; }

 private:
  void add_segment(const Snapshot::Segment& segment, const Lucene::TermPtr& key, float weight, size_t field) {
    if (!segment.lengths[field]) return;
    const uint8_t* lengths = segment.lengths[field].get();
    const std::array<float, 256>& table = tables_[field];
    const auto postings = segment.reader->termDocs(key);
    while (const int32_t count = postings->read(docs_, frequencies_)) {
      const int32_t* docs = &docs_[0];
      const int32_t* frequencies = &frequencies_[0];
      for (int32_t i = 0; i < count; ++i) {
        const auto frequency = static_cast<float>(frequencies[i]);
        scores_[static_cast<size_t>(segment.base + docs[i])] +=
            weight * frequency / (frequency + table[lengths[docs[i]]]);
      }
    }
    postings->close();
  }

  const Snapshot& snapshot_;
  const CancelToken& cancel_;
  std::vector<float> scores_;  // by Lucene document; 0: no term met
  std::array<std::array<float, 256>, kTermFields> tables_;
  Lucene::Collection<int32_t> docs_;
  Lucene::Collection<int32_t> frequencies_;
};

// The passages with a score that are of a wanted source.
std::vector<ScoredPassage> candidates(const Snapshot& snapshot, const std::vector<float>& scores,
                                      const std::vector<Source>& sources) {
  std::array<bool, 256> wanted{};
  for (size_t kind = 0; kind < Snapshot::kRecord; ++kind) wanted[kind] = sources.empty();
  for (const Source source : sources) wanted[static_cast<size_t>(source)] = true;
  std::vector<ScoredPassage> found;
  for (size_t doc = 0; doc < scores.size(); ++doc)
    if (scores[doc] > 0 && wanted[snapshot.kinds()[doc]])
      found.push_back({static_cast<int32_t>(doc), scores[doc]});
  return found;
}

// Each document's best passage, with the document's score. Passages of a document are neighbours.
std::vector<ScoredPassage> best_of_documents(const Snapshot& snapshot, const std::vector<ScoredPassage>& passages) {
  std::vector<ScoredPassage> best;
  for (size_t begin = 0, end = 0; begin < passages.size(); begin = end) {
    const int32_t record = snapshot.record_of(passages[begin].doc);
    ScoredPassage first = passages[begin];
    float second = 0;
    for (end = begin + 1; end < passages.size() && snapshot.record_of(passages[end].doc) == record; ++end) {
      second = std::max(second, std::min(first.score, passages[end].score));
      if (passages[end].score > first.score) first = passages[end];
    }
    best.push_back({first.doc, first.score + kSecondPassageShare * second});
  }
  return best;
}

Status keep_top(const Snapshot& snapshot, size_t top, std::vector<ScoredPassage>& passages) {
  const auto higher = [](const ScoredPassage& a, const ScoredPassage& b) { return a.score > b.score; };
  if (passages.size() > top) {
    std::nth_element(passages.begin(), passages.begin() + static_cast<ptrdiff_t>(top) - 1, passages.end(), higher);
    // All that tie with the last place stay in the race.
    const float last = passages[top - 1].score;
    std::erase_if(passages, [last](const ScoredPassage& passage) { return passage.score < last; });
  }
  std::sort(passages.begin(), passages.end(), higher);
  const auto tie = std::adjacent_find(passages.begin(), passages.end(),
                                      [](const auto& a, const auto& b) { return a.score == b.score; });
  if (tie != passages.end()) {
    WENQU_ASSIGN_OR_RETURN(const std::vector<int32_t>* order, snapshot.id_order());
    std::sort(passages.begin(), passages.end(), [order](const ScoredPassage& a, const ScoredPassage& b) {
      if (a.score != b.score) return a.score > b.score;
      const int32_t place_a = (*order)[static_cast<size_t>(a.doc)];
      const int32_t place_b = (*order)[static_cast<size_t>(b.doc)];
      return place_a != place_b ? place_a < place_b : a.doc < b.doc;
    });
  }
  if (passages.size() > top) passages.resize(top);
  return {};
}

}  // namespace

Result<Ranking> rank_passages(const Snapshot& snapshot, const std::vector<QuestionTerm>& terms,
                              const SearchRequest& request, const CancelToken& cancel) {
  Ranking ranking;
  Status status;
  const Status called = call_lucene("searching", [&] {
    Scorer scorer(snapshot, cancel);
    for (const QuestionTerm& term : terms) {
      status = scorer.add(body_field(term.term.kind), term.key);
      if (status) status = scorer.add(title_field(term.term.kind), term.key);
      if (!status) return;
    }
    ranking.best = candidates(snapshot, scorer.scores(), request.sources);
    ranking.total = ranking.best.size();
    if (request.one_per_document) ranking.best = best_of_documents(snapshot, ranking.best);
    status = keep_top(snapshot, request.top, ranking.best);
  });
  if (!called) return called;
  if (!status) return status;
  return ranking;
}

}  // namespace wenqu::retrieval
