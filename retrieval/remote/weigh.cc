#include "retrieval/remote/weigh.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "retrieval/filter.h"
#include "retrieval/rank/bm25.h"
#include "retrieval/rank/closer_look.h"

namespace wenqu::retrieval {
namespace {

// A query of 1,024 clauses is what every version takes; filters need some of them.
constexpr size_t kMostClauses = 900;
// As in rank/rescore.cc: of a long document only neighbouring passages speak for a passage.
constexpr uint32_t kChapterPassages = 64;

uint32_t chapter_of(uint32_t ordinal) { return ordinal / kChapterPassages; }

// A chapter's place: its document and number.
using Place = std::pair<std::string, uint32_t>;

Place place_of(const RemoteHit& found) {
  return {found.hit.passage.document_id, chapter_of(found.hit.passage.ordinal)};
}

// What a chapter holds of the question.
struct Chapter {
  std::vector<uint32_t> frequencies;             // by term of the question
  std::array<uint64_t, Term::kKinds> lengths{};  // by kind
};

class Scorer {
 public:
  Scorer(const std::vector<QuestionTerm>& terms, const TermStatistics& statistics, const RankingParameters& ranking)
      : terms_(terms), ranking_(ranking) {
    const RemoteTotals& totals = statistics.totals;
    const double passages =
        totals.documents == 0 ? 1 : static_cast<double>(totals.passages) / static_cast<double>(totals.documents);
    for (size_t i = 0; i < kRemoteFields.size(); ++i)
      if (const auto field = static_cast<size_t>(kRemoteFields[i].field); field < Term::kKinds)
        averages_[field] =
            std::max(totals.fields[i].average, 1.0) * std::min<double>(std::max(passages, 1.0), kChapterPassages);
    for (size_t i = 0; i < terms.size(); ++i) {
      const TermField field = body_field(terms[i].term.kind);
      const std::string text(index_term_bytes(terms[i].term.text));
      places_.emplace(std::pair(terms[i].term.kind, text), i);
      weights_.push_back(terms[i].share * term_weight(bm25_parameters(ranking, field), totals.passages,
                                                      statistics.holders_of({field, text})));
    }
  }

  // Each of `times` passages has these terms.
  void add(const std::vector<Term>& terms, uint32_t times, Chapter& chapter) const {
    chapter.frequencies.resize(terms_.size());
    for (const Term& term : terms) {
      const std::string_view text = index_term_bytes(term.text);
      if (text.empty()) continue;
      chapter.lengths[static_cast<size_t>(term.kind)] += times;
      const auto found = places_.find(std::pair(term.kind, std::string(text)));
      if (found != places_.end()) chapter.frequencies[found->second] += times;
    }
  }

  double score(const Chapter& chapter) const {
    double sum = 0;
    for (size_t t = 0; t < terms_.size(); ++t) {
      const auto frequency = static_cast<double>(chapter.frequencies[t]);
      if (frequency == 0) continue;
      const auto kind = static_cast<size_t>(terms_[t].term.kind);
      const Bm25Parameters& of = bm25_parameters(ranking_, body_field(terms_[t].term.kind));
      const double held_back =
          of.k1 * (1 - of.b + of.b * static_cast<double>(chapter.lengths[kind]) / std::max(averages_[kind], 1.0));
      sum += weights_[t] * frequency / (frequency + held_back);
    }
    return sum;
  }

 private:
  const std::vector<QuestionTerm>& terms_;
  const RankingParameters& ranking_;
  std::array<double, Term::kKinds> averages_{};
  std::map<std::pair<Term::Kind, std::string>, size_t> places_;
  std::vector<double> weights_;
};

double freshness_of(const std::string& published_at, const RankingParameters& ranking) {
  const auto time = parse_time(published_at);
  if (!time) return 1;
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  const double age = std::max(0.0, static_cast<double>(now - time->first) / 86'400);
  return 1 + ranking.freshness * std::exp2(-age / ranking.freshness_half_life);
}

}  // namespace

void add_remote_terms(const std::vector<QuestionTerm>& terms, std::vector<RemoteTerm>& wanted) {
  for (const QuestionTerm& term : terms)
    for (const TermField field : fields_of(term.term.kind))
      if (remote_field(field)) wanted.emplace_back(field, index_term_bytes(term.term.text));
}

std::vector<RemoteClause> weigh_clauses(const std::vector<QuestionTerm>& terms, const TermStatistics& statistics,
                                        const RankingParameters& ranking, bool scores_with_k1) {
  struct Weighed {
    RemoteClause clause;
    double weight;
  };
  std::vector<Weighed> weighed;
  for (const QuestionTerm& term : terms)
    for (const TermField field : fields_of(term.term.kind)) {
      const RemoteField* known = remote_field(field);
      const Bm25Parameters& of = bm25_parameters(ranking, field);
      if (!known || of.weight <= 0) continue;
      const std::string text(index_term_bytes(term.term.text));
      const uint64_t holders = statistics.holders_of({field, text});
      if (holders == 0) continue;
      // The cluster reckons rarity among the passages that have the field.
      const auto place = static_cast<size_t>(known - kRemoteFields.data());
      const double own =
          inverse_document_frequency(std::max(statistics.totals.fields[place].passages, holders), holders);
      const double weight = term.share * term_weight(of, statistics.totals.passages, holders);
      weighed.push_back({{field, text, weight / (own * (scores_with_k1 ? of.k1 + 1 : 1))}, weight});
    }
  if (weighed.size() > kMostClauses) {
    std::stable_sort(weighed.begin(), weighed.end(),
                     [](const Weighed& a, const Weighed& b) { return a.weight > b.weight; });
    weighed.resize(kMostClauses);
  }
  std::vector<RemoteClause> clauses;
  for (Weighed& entry : weighed) clauses.push_back(std::move(entry.clause));
  return clauses;
}

uint64_t estimate_matches(const std::vector<RemoteClause>& clauses, const TermStatistics& statistics) {
  const auto all = static_cast<double>(std::max<uint64_t>(statistics.totals.passages, 1));
  double without = 1, most = 0;
  for (const RemoteClause& clause : clauses) {
    const double share = std::min(static_cast<double>(statistics.holders_of({clause.field, clause.term})) / all, 1.0);
    without *= 1 - share;
    most = std::max(most, share);
  }
  return static_cast<uint64_t>(std::llround(all * std::max(1 - without, most)));
}

std::vector<RemoteRun> chapters_of(const std::vector<RemoteHit>& hits) {
  std::set<Place> seen;
  std::vector<RemoteRun> runs;
  for (const RemoteHit& found : hits) {
    if (found.passages == 1 || !seen.insert(place_of(found)).second) continue;
    const uint32_t begin = chapter_of(found.hit.passage.ordinal) * kChapterPassages;
    runs.push_back({found.hit.passage.document_id, begin, std::min(found.passages, begin + kChapterPassages)});
  }
  return runs;
}

void rescore_remote(std::string_view question, const std::vector<QuestionTerm>& terms, const TermStatistics& statistics,
                    const RankingParameters& ranking, const std::vector<RemoteText>& texts, const Analyzer& analyzer,
                    std::vector<RemoteHit>& hits) {
  if (ranking.document > 0) {
    const Scorer scorer(terms, statistics, ranking);
    std::map<Place, std::pair<Chapter, uint32_t>> chapters;  // and how many passages they have
    const auto add = [&](const Place& place, const std::string& text) {
      auto& [chapter, passages] = chapters[place];
      scorer.add(analyzer.analyze(text), 1, chapter);
      ++passages;
    };
    for (const RemoteText& text : texts) add({text.document_id, chapter_of(text.ordinal)}, text.text);
    std::map<Place, double> scores;
    for (const RemoteHit& found : hits) {
      const Place place = place_of(found);
      if (scores.contains(place)) continue;
      if (!chapters.contains(place)) add(place, found.hit.passage.text);
      auto& [chapter, passages] = chapters[place];
      scorer.add(analyzer.analyze_title(found.hit.title, found.hit.author), passages, chapter);
      scores[place] = scorer.score(chapter);
    }
    for (RemoteHit& found : hits) found.hit.score += ranking.document * scores[place_of(found)];
  }
  for (RemoteHit& found : hits) {
    found.hit.score *= ranking.source_priors.at(static_cast<size_t>(found.hit.source));
    if (ranking.freshness > 0) found.hit.score *= freshness_of(found.hit.published_at, ranking);
  }
  const auto sort_best_first = [&] {
    std::stable_sort(hits.begin(), hits.end(), [](const RemoteHit& a, const RemoteHit& b) { return a.hit.score > b.hit.score; });
  };
  sort_best_first();
  if (!wants_closer_look(ranking, terms)) return;
  std::vector<double> idf, scores;
  for (const QuestionTerm& term : terms) {
    const uint64_t holders = statistics.holders_of({body_field(term.term.kind), std::string(index_term_bytes(term.term.text))});
    idf.push_back(term.share * inverse_document_frequency(statistics.totals.passages, holders));
  }
  for (const RemoteHit& found : hits) scores.push_back(found.hit.score);
  std::vector<PassageText> passages;
  for (size_t i = 0; i < std::min(ranking.rescored, hits.size()); ++i) passages.push_back({hits[i].hit.title, hits[i].hit.passage.text});
  scores = scores_after_look(std::move(scores), CloserLook(question, terms, idf).look_at(passages), ranking);
  for (size_t i = 0; i < hits.size(); ++i) hits[i].hit.score = scores[i];
  sort_best_first();
}

}  // namespace wenqu::retrieval
