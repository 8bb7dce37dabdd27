#include "retrieval/rank/rescore.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <iterator>
#include <map>
#include <memory>
#include <numeric>
#include <unordered_set>

#include "retrieval/index/length_code.h"
#include "retrieval/rank/bm25.h"
#include "retrieval/rank/length_table.h"
#include "retrieval/rank/occurrences.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kSecondStage = 20;   // more add to no measure of docs/ranking.md, but to what a search costs

// Of a long document only so many neighbouring passages speak for a passage: a chapter, not the book.
constexpr int32_t kChapterPassages = 64;

// The passages whose words count as the passage's document.
PassageRun chapter_of(const Snapshot& snapshot, int32_t doc) {
  const PassageRun document = passages_of_document(snapshot, doc);
  const int32_t begin = document.begin + (doc - document.begin) / kChapterPassages * kChapterPassages;
  return {begin, std::min(document.end, begin + kChapterPassages)};
}

// What the chapters of the first stage's passages say of a question: each one's score, and the passages beside those that
// were found. All of it is told by the same postings. Filters and deletions are of whole documents, so whoever may find a
// passage may find those beside it.
class Chapters {
 public:
  Chapters(const Snapshot& snapshot, const std::vector<QuestionTerm>& terms, const RankingParameters& parameters)
      : snapshot_(snapshot), terms_(terms), parameters_(parameters) {
    const double passages = snapshot.documents() == 0 ? 1 : static_cast<double>(snapshot.passages()) / static_cast<double>(snapshot.documents());
    for (size_t field = 0; field < Term::kKinds; ++field)
      average_lengths_[field] = snapshot.average_length(static_cast<TermField>(field)) * std::min<double>(passages, kChapterPassages);
  }

  // Those of `passages`, which are best first.
  Status score(const std::vector<ScoredPassage>& passages, const CancelToken& cancel) {
    for (const ScoredPassage& passage : passages) {
      const PassageRun chapter = chapter_of(snapshot_, passage.doc);
      begins_[passage.doc] = chapter.begin;
      scores_.emplace(chapter.begin, Chapter{chapter, 0});
    }
    for (const ScoredPassage& passage : passages) add_nearby(passage.doc);
    std::vector<PassageRun> runs;
    for (const auto& [begin, chapter] : scores_) runs.push_back(chapter.run);
    WENQU_ASSIGN_OR_RETURN(const std::vector<Occurrence> found, gather_occurrences(snapshot_, terms_, runs, cancel));
    WENQU_RETURN_IF_ERROR(weigh_terms());
    auto next = found.begin();
    for (auto& [begin, chapter] : scores_) {
      std::vector<uint32_t> frequencies(terms_.size(), 0);
      for (; next != found.end() && next->doc < chapter.run.end; ++next) {
        if (next->field == body_field(terms_[next->term].term.kind)) frequencies[next->term] += next->frequency;
        if (const auto place = places_.find(next->doc); place != places_.end())
          nearby_[place->second].score += static_cast<float>(part_of_score(*next));
      }
      chapter.score = score_of(chapter.run, frequencies);
    }
    std::erase_if(nearby_, [](const ScoredPassage& passage) { return passage.score <= 0; });
    return {};
  }

  // REQUIRES: doc is one of the passages, or of those beside them
  double score_of(int32_t doc) const { return scores_.at(begins_.at(doc)).score; }
  // The passages beside them that hold a term, with their scores of the first stage.
  const std::vector<ScoredPassage>& nearby() const { return nearby_; }

 private:
  struct Chapter {
    PassageRun run;
    double score = 0;
  };

  void add_nearby(int32_t doc) {
    const PassageRun chapter = scores_.at(begins_.at(doc)).run;
    const auto most = static_cast<int32_t>(std::min<size_t>(parameters_.nearby, kChapterPassages));
    for (int32_t other = std::max(chapter.begin, doc - most); other < std::min(chapter.end, doc + most + 1); ++other) {
      if (!begins_.emplace(other, chapter.begin).second) continue;
      places_.emplace(other, nearby_.size());
      nearby_.push_back({other, 0});
    }
  }

  Status weigh_terms() {
    for (const QuestionTerm& term : terms_) {
      weights_.emplace_back();
      for (const TermField field : fields_of(term.term.kind)) {
        WENQU_ASSIGN_OR_RETURN(const uint64_t holders, snapshot_.holders(field, term.key));
        const Bm25Parameters& of_field = bm25_parameters(parameters_, field);
        weights_.back()[static_cast<size_t>(field)] = term.share * term_weight(of_field, snapshot_.passages(), holders);
      }
    }
    return {};
  }

  // What a term adds to the score of the passage that holds it, as in the first stage.
  double part_of_score(const Occurrence& found) {
    const auto field = static_cast<size_t>(found.field);
    if (!lengths_[field]) lengths_[field] = std::make_unique<LengthTable>(length_table(snapshot_, parameters_, found.field));
    const auto frequency = static_cast<double>(found.frequency);
    const Snapshot::Segment& segment = segment_of(found.doc);
    return weights_[found.term][field] * frequency / (frequency + (*lengths_[field])[segment.lengths_of(found.field)[found.doc - segment.base]]);
  }

  double score_of(PassageRun run, const std::vector<uint32_t>& frequencies) const {
    std::array<double, Term::kKinds> held_back{};  // k1 * (1 - b + b * length / average), by kind
    for (size_t kind = 0; kind < Term::kKinds; ++kind) {
      const Bm25Parameters& of_field = bm25_parameters(parameters_, static_cast<TermField>(kind));
      held_back[kind] = of_field.k1 * (1 - of_field.b + of_field.b * length_of(run, kind) / average_lengths_[kind]);
    }
    double sum = 0;
    for (size_t t = 0; t < terms_.size(); ++t) {
      const auto frequency = static_cast<double>(frequencies[t]);
      const auto kind = static_cast<size_t>(terms_[t].term.kind);
      if (frequency > 0) sum += weights_[t][kind] * frequency / (frequency + held_back[kind]);
    }
    return sum;
  }

  double length_of(PassageRun run, size_t field) const {
    const Snapshot::Segment& segment = segment_of(run.begin);
    const uint8_t* codes = segment.lengths_of(static_cast<TermField>(field));
    double length = 0;
    for (int32_t doc = run.begin; codes && doc < run.end; ++doc)
      if (const uint8_t code = codes[doc - segment.base]; code != kFieldAbsent) length += decode_length(code);
    return length;
  }

  const Snapshot::Segment& segment_of(int32_t doc) const {
    const std::vector<Snapshot::Segment>& segments = snapshot_.segments();
    return *std::prev(std::upper_bound(segments.begin(), segments.end(), doc,
                                       [](int32_t wanted, const Snapshot::Segment& segment) { return wanted < segment.base; }));
  }

  const Snapshot& snapshot_;
  const std::vector<QuestionTerm>& terms_;
  const RankingParameters& parameters_;
  std::array<double, Term::kKinds> average_lengths_{};
  std::vector<std::array<double, kTermFields>> weights_;   // by term and field
  std::array<std::unique_ptr<LengthTable>, kTermFields> lengths_;
  std::map<int32_t, Chapter> scores_;   // by first passage
  std::map<int32_t, int32_t> begins_;   // by passage, that of its chapter
  std::map<int32_t, size_t> places_;    // in nearby_, by passage
  std::vector<ScoredPassage> nearby_;   // in the order of those that they are beside
};

// Days from 1970-01-01 to the date that begins an ISO 8601 string; false when none does.
bool days_of(const std::string& date, double& days) {
  std::tm parts{};
  const char* end = ::strptime(date.c_str(), "%Y-%m-%d", &parts);
  if (!end) return false;
  const std::time_t seconds = ::timegm(&parts);
  days = static_cast<double>(seconds) / 86400;
  return true;
}

double freshness_of(const std::string& published_at, const RankingParameters& parameters) {
  double day = 0;
  if (!days_of(published_at, day)) return 1;
  const double age = std::max(0.0, static_cast<double>(std::time(nullptr)) / 86400 - day);
  return 1 + parameters.freshness * std::exp2(-age / parameters.freshness_half_life);
}

void sort_best_first(std::vector<ScoredPassage>::iterator begin, std::vector<ScoredPassage>::iterator end) {
  std::stable_sort(begin, end, [](const ScoredPassage& a, const ScoredPassage& b) { return a.score > b.score; });
}

// By where a passage comes from, and how old it is.
Status weigh_by_document(PassageReader& reader, const RankingParameters& parameters, const CancelToken& cancel, std::span<ScoredPassage> passages) {
  for (ScoredPassage& passage : passages) {
    passage.score *= static_cast<float>(parameters.source_priors.at(reader.snapshot().kinds()[static_cast<size_t>(passage.doc)]));
    if (parameters.freshness <= 0) continue;
    WENQU_RETURN_IF_ERROR(cancel.status());
    WENQU_ASSIGN_OR_RETURN(const Document* document, reader.document(passage.doc));
    passage.score *= static_cast<float>(freshness_of(document->published_at, parameters));
  }
  return {};
}

// Puts `best` before those of `passages` that are not among them.
void put_first(const std::vector<ScoredPassage>& best, std::vector<ScoredPassage>& passages) {
  std::unordered_set<int32_t> taken;
  for (const ScoredPassage& passage : best) taken.insert(passage.doc);
  std::erase_if(passages, [&](const ScoredPassage& passage) { return taken.contains(passage.doc); });
  sort_best_first(passages.begin(), passages.end());
  if (!best.empty() && !passages.empty() && passages.front().score > best.back().score)
    for (const float factor = best.back().score / passages.front().score; ScoredPassage& passage : passages) passage.score *= factor;
  passages.insert(passages.begin(), best.begin(), best.end());
}

// Orders the first `rescored` passages anew; none that follows comes before the last of them.
// REQUIRES: passages are best first
Status look_closer(PassageReader& reader, std::string_view question, const std::vector<QuestionTerm>& terms,
                   const RankingParameters& parameters, const CancelToken& cancel, std::vector<ScoredPassage>& passages) {
  const size_t count = std::min(parameters.rescored, passages.size());
  WENQU_ASSIGN_OR_RETURN(const std::vector<Signals> signals,
                         find_signals(reader, question, terms, std::span(passages).first(count), cancel));
  std::vector<double> scores;
  for (const ScoredPassage& passage : passages) scores.push_back(passage.score);
  scores = scores_after_look(std::move(scores), signals, parameters);
  for (size_t i = 0; i < passages.size(); ++i) passages[i].score = static_cast<float>(scores[i]);
  sort_best_first(passages.begin(), passages.end());
  return {};
}

}  // namespace

size_t second_stage(const RankingParameters& parameters) { return std::max(kSecondStage, parameters.rescored); }

Result<std::vector<Signals>> find_signals(PassageReader& reader, std::string_view question, const std::vector<QuestionTerm>& terms,
                                          std::span<const ScoredPassage> passages, const CancelToken& cancel) {
  const Snapshot& snapshot = reader.snapshot();
  std::vector<double> idf;
  for (const QuestionTerm& term : terms) {
    WENQU_ASSIGN_OR_RETURN(const uint64_t holders, snapshot.holders(body_field(term.term.kind), term.key));
    idf.push_back(term.share * inverse_document_frequency(snapshot.passages(), holders));
  }
  std::vector<PassageText> texts;
  for (const ScoredPassage& scored : passages) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    WENQU_ASSIGN_OR_RETURN(const Passage* passage, reader.passage(scored.doc));
    WENQU_ASSIGN_OR_RETURN(const Document* document, reader.document(scored.doc));
    texts.push_back({document->title, passage->text});
  }
  return CloserLook(question, terms, idf).look_at(texts);
}

Status rescore(PassageReader& reader, std::string_view question, const std::vector<QuestionTerm>& terms,
               const RankingParameters& parameters, const CancelToken& cancel, std::vector<ScoredPassage>& passages) {
  const size_t count = std::min(second_stage(parameters), passages.size());
  std::vector<ScoredPassage> best(passages.begin(), passages.begin() + static_cast<ptrdiff_t>(count));
  if (parameters.document > 0) {
    Chapters chapters(reader.snapshot(), terms, parameters);
    WENQU_RETURN_IF_ERROR(chapters.score(best, cancel));
    best.insert(best.end(), chapters.nearby().begin(), chapters.nearby().end());
    for (ScoredPassage& passage : best) passage.score += static_cast<float>(parameters.document * chapters.score_of(passage.doc));
  }
  WENQU_RETURN_IF_ERROR(weigh_by_document(reader, parameters, cancel, best));
  sort_best_first(best.begin(), best.end());
  best.resize(count);
  if (wants_closer_look(parameters, terms)) WENQU_RETURN_IF_ERROR(look_closer(reader, question, terms, parameters, cancel, best));
  WENQU_RETURN_IF_ERROR(weigh_by_document(reader, parameters, cancel, passages));
  const size_t wanted = passages.size();
  put_first(best, passages);
  passages.resize(wanted);
  return {};
}

}  // namespace wenqu::retrieval
