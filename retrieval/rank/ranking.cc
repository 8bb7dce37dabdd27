#include "retrieval/rank/ranking.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <functional>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/thread.h"
#include "retrieval/rank/best_passages.h"
#include "retrieval/rank/bm25.h"
#include "retrieval/rank/length_table.h"
#include "retrieval/rank/term_cursor.h"
#include "retrieval/rank/window_search.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

using Candidate = BestPassages::Candidate;

// From so many postings on it pays to leave some out (measured on one million passages).
constexpr uint64_t kSkipFromPostings = 30'000;

// Several threads share a search with so many, in parts of so many passages.
constexpr uint64_t kShareFromPostings = 200'000;
constexpr int32_t kPart = 65'536;

// So many postings of the rarest terms are sampled before a search that leaves postings out.
constexpr uint64_t kSampledPostings = 2'000;

// A document is as good as its best passage and a tenth of its second.
constexpr uint32_t kSecondPassageShare = 10;

// So many passages that tie are told apart by reading their documents' ids.
constexpr size_t kTiesToRead = 300;

// A score of 1 has up to so many units; fewer where all weights together would not fit a number.
constexpr double kMostUnits = 1 << 20;
constexpr double kGreatestSum = 1 << 30;

// A term of the question in one field, with its postings in each segment.
struct FieldTerm {
  size_t field = 0;
  double weight = 0;
  uint64_t holders = 0;
  std::vector<Postings> postings;
};

class Search {
 public:
  Search(const Snapshot& snapshot, const RankRequest& request, const CancelToken& cancel)
      : snapshot_(snapshot), request_(request), cancel_(cancel) {
    for (const Snapshot::Segment& segment : snapshot.segments()) readers_.push_back(snapshot.postings(segment));
  }

  Status add(TermField field, const QuestionTerm& term) {
    WENQU_RETURN_IF_ERROR(cancel_.status());
    const auto place = static_cast<size_t>(field);
    const Bm25Parameters& parameters = bm25_parameters(request_.parameters, field);
    if (parameters.weight <= 0) return {};
    if (!saturations_[place])
      saturations_[place] = std::make_unique<Saturation>(length_table(snapshot_, request_.parameters, field));
    FieldTerm found{place};
    for (size_t i = 0; i < readers_.size(); ++i) {
      const uint8_t* lengths = snapshot_.segments()[i].lengths_of(field);
      found.postings.push_back(lengths ? readers_[i].find(field, term.key, lengths, saturations_[place]->table()) : Postings());
      if (found.postings.back()) found.holders += found.postings.back().list().holders;
    }
    if (found.holders == 0) return {};
    found.weight = term.share * term_weight(parameters, snapshot_.passages(), found.holders);
    terms_.push_back(std::move(found));
    return {};
  }

  Result<Ranking> run() {
    choose_units();
    const bool skip = request_.method == RankRequest::Method::by_cost ? !request_.one_per_document && postings() >= kSkipFromPostings
                                                                      : request_.method == RankRequest::Method::skipping && !request_.one_per_document;
    Ranking ranking;
    WENQU_ASSIGN_OR_RETURN(std::vector<Candidate> found, search_parts(skip, ranking.total));
    if (request_.one_per_document) {
      found = best_of_documents(found);
      ranking.total = found.size();
    }
    if (skip) {
      ranking.total = std::max(estimate_total(), found.size());
      ranking.total_is_exact = false;
    }
    WENQU_RETURN_IF_ERROR(keep_top(found));
    for (const Candidate& candidate : found)
      ranking.best.push_back({candidate.doc, static_cast<float>(candidate.units / units_)});
    return ranking;
  }

 private:
  void choose_units() {
    double sum = 0;
    for (const FieldTerm& term : terms_) sum += term.weight;
    units_ = kMostUnits;
    while (units_ * sum + static_cast<double>(terms_.size()) > kGreatestSum) units_ /= 2;
  }

  uint64_t postings() const {
    uint64_t sum = 0;
    for (const FieldTerm& term : terms_) sum += term.holders;
    return sum;
  }

  // Passages of a segment that are searched by one thread.
  struct Part {
    size_t segment = 0;
    int32_t begin = 0;
    int32_t end = 0;
  };

  std::vector<Part> parts() const {
    std::vector<Part> parts;
    const std::vector<Snapshot::Segment>& segments = snapshot_.segments();
    for (size_t i = 0; i < segments.size(); ++i) {
      const int32_t step = request_.threads > 1 ? kPart : segments[i].size;
      for (int32_t begin = 0; begin < segments[i].size; begin += std::min(step, segments[i].size - begin))
        parts.push_back({i, begin, begin + std::min(step, segments[i].size - begin)});
    }
    return parts;
  }

  // What the parts hold that may be among the best, in the order of passages; `met` grows by those that were met.
  // Parts are taken as threads come free; since sums are exact, it does not matter which takes which.
  Result<std::vector<Candidate>> search_parts(bool skip, size_t& met) {
    const std::vector<Part> all = parts();
    const size_t wanted = request_.one_per_document ? SIZE_MAX : request_.top;
    uint32_t floor = 1;
    if (skip) {
      const Status called = call_lucene("searching", [&] { floor = sample_floor(); });
      if (!called) return called;
    }
    std::atomic<size_t> next = 0;
    std::mutex mutex;
    Status status;
    std::vector<Candidate> found;
    const auto work = [&] {
      BestPassages best(wanted, floor);
      size_t own_met = 0;
      Status own;
      const Status called = call_lucene("searching", [&] {
        for (size_t i = next++; own && i < all.size(); i = next++) {
          const Snapshot::Segment& segment = snapshot_.segments()[all[i].segment];
          PostingsReader reader = snapshot_.postings(segment);
          std::vector<TermCursor> cursors = cursors_of(all[i].segment, reader);
          if (cursors.empty()) continue;
          WindowSearch search{snapshot_, segment, request_.among, skip, all[i].begin, all[i].end};
          own = search.run(cursors, best, cancel_);
          own_met += search.met;
        }
      });
      if (own) own = called;
      if (!own) next = all.size();
      const std::lock_guard lock(mutex);
      if (status) status = own;
      met += own_met;
      const std::vector<Candidate> kept = best.take();
      found.insert(found.end(), kept.begin(), kept.end());
    };
    {
      std::vector<std::jthread> helpers;
      const bool alone = request_.method == RankRequest::Method::by_cost && postings() < kShareFromPostings;
      const size_t threads = alone ? 1 : std::min(request_.threads, all.size());
      helpers.reserve(threads);
      try {
        while (helpers.size() + 1 < threads) helpers.push_back(start_thread<std::jthread>(work));
      } catch (const std::system_error&) {
        // Fewer do it too.
      }
      work();
    }
    WENQU_RETURN_IF_ERROR(status);
    std::sort(found.begin(), found.end(), [](const Candidate& a, const Candidate& b) { return a.doc < b.doc; });
    return found;
  }

  // What the last of the wanted passages has at least: so much have as many of those that hold the rarest terms. The
  // walk through the index then knows from its first window what cannot matter.
  uint32_t sample_floor() const {
    std::vector<const FieldTerm*> rare;
    for (const FieldTerm& term : terms_) rare.push_back(&term);
    std::sort(rare.begin(), rare.end(), [](const FieldTerm* a, const FieldTerm* b) { return a->holders < b->holders; });
    uint64_t postings = 0;
    size_t count = 0;
    while (count < rare.size() && postings + rare[count]->holders <= kSampledPostings) postings += rare[count++]->holders;
    rare.resize(count);

    std::vector<uint32_t> sampled;   // the units of passages, whole sums
    for (size_t i = 0; i < snapshot_.segments().size(); ++i) {
      const Snapshot::Segment& segment = snapshot_.segments()[i];
      PostingsReader reader = snapshot_.postings(segment);
      std::vector<std::pair<int32_t, double>> met;   // passages and what they hold
      for (const FieldTerm* term : rare) {
        if (!term->postings[i]) continue;
        TermCursor cursor = cursor_of(*term, i, reader);
        cursor.visit(0, segment.size, [&](int32_t doc, uint32_t) { met.emplace_back(doc, term->weight); });
      }
      std::sort(met.begin(), met.end());
      std::vector<std::pair<double, int32_t>> promising;
      for (size_t begin = 0, end = 0; begin < met.size(); begin = end) {
        double weight = 0;
        for (end = begin; end < met.size() && met[end].first == met[begin].first; ++end) weight += met[end].second;
        if (is_wanted(segment, met[begin].first)) promising.emplace_back(weight, met[begin].first);
      }
      const size_t kept = std::min(promising.size(), 2 * request_.top);
      std::partial_sort(promising.begin(), promising.begin() + static_cast<ptrdiff_t>(kept), promising.end(), std::greater<>());
      promising.resize(kept);
      std::sort(promising.begin(), promising.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
      std::vector<TermCursor> cursors = cursors_of(i, reader);
      for (const auto& [weight, doc] : promising) {
        uint32_t units = 0;
        for (TermCursor& cursor : cursors) units += cursor.units_of(doc, 0);
        sampled.push_back(units);
      }
    }
    if (sampled.size() < request_.top) return 1;
    const auto last = sampled.begin() + static_cast<ptrdiff_t>(request_.top) - 1;
    std::nth_element(sampled.begin(), last, sampled.end(), std::greater<>());
    return std::max(*last, 1u);
  }

  bool is_wanted(const Snapshot::Segment& segment, int32_t doc) const {
    if (request_.among) return request_.among->contains(segment.base + doc);
    return snapshot_.kinds()[static_cast<size_t>(segment.base + doc)] < Snapshot::kRecord;
  }

  TermCursor cursor_of(const FieldTerm& term, size_t segment, PostingsReader& reader) const {
    return {reader, term.postings[segment], static_cast<float>(term.weight * units_), *saturations_[term.field],
            snapshot_.segments()[segment].lengths_of(static_cast<TermField>(term.field))};
  }

  std::vector<TermCursor> cursors_of(size_t segment, PostingsReader& reader) const {
    std::vector<TermCursor> cursors;
    for (const FieldTerm& term : terms_)
      if (term.postings[segment]) cursors.push_back(cursor_of(term, segment, reader));
    return cursors;
  }

  // As many as would hold one of the terms, were these spread independently.
  size_t estimate_total() const {
    const double all = std::max(static_cast<double>(snapshot_.passages()), 1.0);
    double without = 1;
    double most = 0;
    for (const FieldTerm& term : terms_) {
      const double share = std::min(static_cast<double>(term.holders) / all, 1.0);
      without *= 1 - share;
      most = std::max(most, share);
    }
    const double candidates = request_.among ? static_cast<double>(request_.among->count()) : all;
    return static_cast<size_t>(std::llround(candidates * std::max(1 - without, most)));
  }

  // Each document's best passage, with the document's score. Passages of a document are neighbours.
  std::vector<Candidate> best_of_documents(const std::vector<Candidate>& passages) const {
    std::vector<Candidate> best;
    for (size_t begin = 0, end = 0; begin < passages.size(); begin = end) {
      const int32_t record = snapshot_.record_of(passages[begin].doc);
      Candidate first = passages[begin];
      uint32_t second = 0;
      for (end = begin + 1; end < passages.size() && snapshot_.record_of(passages[end].doc) == record; ++end) {
        second = std::max(second, std::min(first.units, passages[end].units));
        if (passages[end].units > first.units) first = passages[end];
      }
      best.push_back({first.doc, first.units + second / kSecondPassageShare});
    }
    return best;
  }

  Status keep_top(std::vector<Candidate>& passages) const {
    const auto higher = [](const Candidate& a, const Candidate& b) { return a.units > b.units; };
    const size_t top = request_.top;
    if (passages.size() > top) {
      std::nth_element(passages.begin(), passages.begin() + static_cast<ptrdiff_t>(top) - 1, passages.end(), higher);
      // All that tie with the last place stay in the race.
      const uint32_t last = passages[top - 1].units;
      std::erase_if(passages, [last](const Candidate& passage) { return passage.units < last; });
    }
    std::sort(passages.begin(), passages.end(), higher);
    // What ties stands in the order of the documents' ids.
    std::vector<Candidate> ordered;
    for (auto begin = passages.begin(); begin != passages.end() && ordered.size() < top;) {
      const auto end = std::find_if(begin, passages.end(), [&](const Candidate& other) { return other.units != begin->units; });
      if (end - begin == 1) {
        ordered.push_back(*begin);
      } else {
        std::vector<int32_t> docs;
        for (auto tied = begin; tied != end; ++tied) docs.push_back(tied->doc);
        // The order of all ids is made once for a segment, and slowly: few are read one by one.
        WENQU_RETURN_IF_ERROR(docs.size() <= kTiesToRead ? order_by_ids(docs) : snapshot_.keep_first_by_id(docs, top - ordered.size()));
        for (const int32_t doc : docs) ordered.push_back({doc, begin->units});
      }
      begin = end;
    }
    if (ordered.size() > top) ordered.resize(top);
    passages = std::move(ordered);
    return {};
  }

  // By reading the ids of their documents.
  Status order_by_ids(std::vector<int32_t>& docs) const {
    std::vector<std::pair<std::string, int32_t>> named;
    for (const int32_t doc : docs) {
      WENQU_ASSIGN_OR_RETURN(Document document, snapshot_.read_document(snapshot_.record_of(doc), false));
      named.emplace_back(std::move(document.id), doc);
    }
    std::sort(named.begin(), named.end());
    std::transform(named.begin(), named.end(), docs.begin(), [](const auto& entry) { return entry.second; });
    return {};
  }

  const Snapshot& snapshot_;
  const RankRequest& request_;
  const CancelToken& cancel_;
  std::vector<PostingsReader> readers_;   // by segment
  std::vector<FieldTerm> terms_;
  std::array<std::unique_ptr<Saturation>, kTermFields> saturations_;
  double units_ = kMostUnits;             // of a score of 1
};

}  // namespace

Result<Ranking> rank_passages(const Snapshot& snapshot, const std::vector<QuestionTerm>& terms,
                              const RankRequest& request, const CancelToken& cancel) {
  Result<Ranking> ranking = Ranking();
  const Status called = call_lucene("searching", [&] {
    Search search(snapshot, request, cancel);
    Status status;
    for (const QuestionTerm& term : terms) {
      for (const TermField field : fields_of(term.term.kind))
        if (status) status = search.add(field, term);
      if (!status) break;
    }
    ranking = status ? search.run() : Result<Ranking>(status);
  });
  return called ? std::move(ranking) : Result<Ranking>(called);
}

}  // namespace wenqu::retrieval
