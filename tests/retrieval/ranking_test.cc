// The first stage of ranking, held against adding up every posting as Lucene++ gives them.
#include "retrieval/rank/ranking.h"

#include <gmock/gmock.h>
#include <lucene++/LuceneHeaders.h>
#include <lucene++/TermDocs.h>

#include <cmath>
#include <map>
#include <random>

#include "index_fixture.h"
#include "retrieval/index/length_code.h"
#include "retrieval/index/open_commit.h"
#include "retrieval/rank/bm25.h"
#include "retrieval/rank/occurrences.h"
#include "retrieval/rank/term_cursor.h"
#include "retrieval/rank/window_search.h"

namespace wenqu::retrieval {
namespace {

using Method = RankRequest::Method;

// Words by a steep law, as in any language: a few are everywhere, most are nearly nowhere.
class Words {
 public:
  explicit Words(std::mt19937& random) : random_(random) {}

  std::string draw() {
    const double share = std::uniform_real_distribution<>(0, 1)(random_);
    const int rank = static_cast<int>(std::exp(share * std::log(3000.0)));
    std::string word = "w";
    for (int rest = rank; rest > 0; rest /= 8) word += static_cast<char>('k' + rest % 8);
    return word + "q";
  }
  std::string text(size_t most) {
    std::string text;
    for (size_t i = random_() % most + 1; i > 0; --i) text += draw() + (random_() % 12 == 0 ? ". " : " ");
    return text;
  }

 private:
  std::mt19937& random_;
};

std::vector<QuestionTerm> terms_of(const std::string& question) {
  return distinct_terms(Analyzer().analyze_question(question));
}

Ranking rank(const Snapshot& snapshot, const std::string& question, RankRequest request) {
  const auto ranking = rank_passages(snapshot, terms_of(question), request, CancelToken());
  EXPECT_TRUE(ranking) << ranking.status().to_string();
  return ranking ? *ranking : Ranking();
}

// Each passage that holds a term: how often each field holds it, in the order of gather_occurrences.
std::vector<Occurrence> scan(const Snapshot& snapshot, const std::vector<QuestionTerm>& terms) {
  std::vector<Occurrence> all;
  for (const Snapshot::Segment& segment : snapshot.segments())
    for (uint32_t i = 0; i < terms.size(); ++i)
      for (const TermField field : fields_of(terms[i].term.kind)) {
        const auto docs = segment.reader->termDocs(Lucene::newLucene<Lucene::Term>(
            Lucene::String(kTermFieldNames[static_cast<size_t>(field)]), terms[i].key));
        while (docs->next())
          all.push_back({segment.base + docs->doc(), i, field, static_cast<uint32_t>(docs->freq())});
      }
  std::sort(all.begin(), all.end(), [](const Occurrence& a, const Occurrence& b) {
    return std::tie(a.doc, a.term, a.field) < std::tie(b.doc, b.term, b.field);
  });
  return all;
}

std::map<int32_t, double> scores(const Snapshot& snapshot, const std::vector<QuestionTerm>& terms) {
  std::map<int32_t, double> sums;
  for (const Occurrence& found : scan(snapshot, terms)) {
    const auto holders = snapshot.holders(found.field, terms[found.term].key);
    EXPECT_TRUE(holders);
    const RankingParameters ranking;
    const Bm25Parameters& parameters = bm25_parameters(ranking, found.field);
    for (const Snapshot::Segment& segment : snapshot.segments()) {
      if (found.doc < segment.base || found.doc >= segment.base + segment.size) continue;
      const double length = decode_length(segment.lengths[static_cast<size_t>(found.field)][found.doc - segment.base]);
      const double tf = found.frequency;
      sums[found.doc] += term_weight(parameters, snapshot.passages(), *holders) * tf /
                         (tf + parameters.k1 * (1 - parameters.b + parameters.b * length / snapshot.average_length(found.field)));
    }
  }
  return sums;
}

class RankPassagesTest : public IndexTest, public testing::WithParamInterface<unsigned> {
 protected:
  // Some thousand passages in several segments, many of them deleted again.
  std::shared_ptr<const Snapshot> build(std::mt19937& random, int documents) {
    Words words(random);
    auto index = open(Index::Mode::write);
    for (int i = 0; i < documents; ++i) {
      EXPECT_OK(index->add(make_document("d" + std::to_string(random() % static_cast<unsigned>(documents)), words.text(60),
                                         random() % 3 ? words.text(3) : "", static_cast<Source>(random() % 5))));
      if (i % (documents / 3) == documents / 4) EXPECT_OK(index->commit());
    }
    for (int i = 0; i < documents / 10; ++i)
      EXPECT_OK(index->remove("d" + std::to_string(random() % static_cast<unsigned>(documents))));
    EXPECT_OK(index->commit());
    index.reset();
    auto snapshot = open_newest_commit(IndexPaths(directory_), nullptr);
    EXPECT_TRUE(snapshot);
    return *snapshot;
  }
};

TEST_P(RankPassagesTest, LeavingPostingsOutChangesNothing) {
  std::mt19937 random(GetParam());
  const auto snapshot = build(random, 12'000);
  ASSERT_GT(snapshot->segments().size(), 1u);
  Words words(random);
  PassageSet some(snapshot->kinds().size());
  for (size_t doc = 0; doc < snapshot->kinds().size(); ++doc)
    if (snapshot->kinds()[doc] < Snapshot::kRecord && random() % 3 == 0) some.insert(static_cast<int32_t>(doc));
  for (int i = 0; i < 60; ++i) {
    const std::string question = words.text(20);
    const std::vector<QuestionTerm> terms = terms_of(question);
    RankRequest request;
    request.top = std::vector<size_t>{1, 10, 100, 2000}[random() % 4];
    if (random() % 2) request.among = &some;
    request.method = Method::exhaustive;
    const Ranking all = rank(*snapshot, question, request);
    request.method = Method::skipping;
    request.threads = 1 + random() % 3;
    const Ranking few = rank(*snapshot, question, request);
    ASSERT_EQ(all.best.size(), few.best.size()) << question;
    for (size_t place = 0; place < all.best.size(); ++place) {
      ASSERT_EQ(all.best[place].doc, few.best[place].doc) << question;
      ASSERT_EQ(all.best[place].score, few.best[place].score) << question;
    }
    EXPECT_TRUE(all.total_is_exact);
    EXPECT_FALSE(few.total_is_exact);

    std::map<int32_t, double> expected = scores(*snapshot, terms);
    std::erase_if(expected, [&](const auto& entry) {
      return snapshot->kinds()[static_cast<size_t>(entry.first)] >= Snapshot::kRecord ||
             (request.among && !some.contains(entry.first));
    });
    EXPECT_EQ(all.total, expected.size());
    ASSERT_EQ(all.best.size(), std::min(request.top, expected.size()));
    for (const ScoredPassage& passage : all.best) {
      ASSERT_NEAR(passage.score, expected.at(passage.doc), 1e-5 * (passage.score + 1));
      expected.erase(passage.doc);
    }
    for (const auto& [doc, score] : expected) ASSERT_LE(score, all.best.back().score + 1e-4);
  }
}

TEST_P(RankPassagesTest, OccurrencesAreThoseOfEveryPosting) {
  std::mt19937 random(GetParam() + 100);
  const auto snapshot = build(random, 3000);
  Words words(random);
  for (int i = 0; i < 30; ++i) {
    const std::vector<QuestionTerm> terms = terms_of(words.text(8));
    std::vector<PassageRun> runs;
    const auto size = static_cast<int32_t>(snapshot->kinds().size());
    for (int32_t begin = 0; begin < size; begin += 1 + static_cast<int32_t>(random() % 400)) {
      const int32_t end = std::min(size, begin + 1 + static_cast<int32_t>(random() % 5));
      runs.push_back({begin, end});
      begin = end;
    }
    std::vector<Occurrence> expected = scan(*snapshot, terms);
    std::erase_if(expected, [&](const Occurrence& occurrence) {
      // Lucene++ does not tell of deleted passages.
      return snapshot->kinds()[static_cast<size_t>(occurrence.doc)] >= Snapshot::kRecord ||
             std::none_of(runs.begin(), runs.end(), [&](const PassageRun& run) { return occurrence.doc >= run.begin && occurrence.doc < run.end; });
    });
    auto found = gather_occurrences(*snapshot, terms, runs, CancelToken());
    ASSERT_TRUE(found) << found.status().to_string();
    std::erase_if(*found, [&](const Occurrence& occurrence) {
      return snapshot->kinds()[static_cast<size_t>(occurrence.doc)] >= Snapshot::kRecord;
    });
    ASSERT_EQ(*found, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RankPassagesTest, testing::Values(1u, 2u, 3u));

TEST_F(IndexTest, ADocumentsPassagesAreTheRunAfterItsRecord) {
  std::string filler;
  for (int i = 0; i < 60; ++i) filler += "Nothing of interest is told in this sentence. ";
  auto index = open(Index::Mode::write);
  EXPECT_OK(index->add(make_document("short", "A heron.")));
  EXPECT_OK(index->add(make_document("long", filler)));
  EXPECT_OK(index->add(make_document("last", "Another heron.")));
  EXPECT_OK(index->commit());
  const auto snapshot = open_newest_commit(IndexPaths(directory_), nullptr);
  ASSERT_TRUE(snapshot);
  for (const std::string id : {"short", "long", "last"}) {
    const auto record = (*snapshot)->find(id);
    ASSERT_TRUE(record);
    const PassageRun run = passages_of_document(**snapshot, *record + 1);
    EXPECT_EQ(run.begin, *record + 1);
    EXPECT_EQ(run.end - run.begin > 1, id == "long");
    EXPECT_EQ(passages_of_document(**snapshot, run.end - 1).begin, run.begin);
    EXPECT_EQ(passages_of_document(**snapshot, run.end - 1).end, run.end);
  }
}

TEST_F(IndexTest, FewTiesAndManyAreInTheSameOrder) {
  auto index = open(Index::Mode::write);
  std::mt19937 random(3);
  std::vector<std::string> expected;
  for (int i = 0; i < 700; ++i) {
    // Ids of all kinds of bytes; their order is that of bytes.
    std::string id = std::to_string(random()) + (i % 3 == 0 ? "é" : i % 3 == 1 ? "文" : "z");
    if (i % 2) id = "文" + id;
    EXPECT_OK(index->add(make_document(id, i < 200 ? "a heron" : "a lantern")));
    if (i < 200) expected.push_back(id);
    if (i % 150 == 0) EXPECT_OK(index->commit());
  }
  EXPECT_OK(index->commit());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(ids(find(*index, "heron", 1000)), expected);
  EXPECT_EQ(ids(find(*index, "heron", 7)), std::vector<std::string>(expected.begin(), expected.begin() + 7));
  const auto many = ids(find(*index, "lantern", 1000));
  ASSERT_EQ(many.size(), 500u);
  EXPECT_TRUE(std::is_sorted(many.begin(), many.end()));
}

TEST_F(IndexTest, WhatACacheDroppedIsReadAgain) {
  auto index = open(Index::Mode::write);
  std::mt19937 random(8);
  Words words(random);
  for (int i = 0; i < 3000; ++i) EXPECT_OK(index->add(make_document("d" + std::to_string(i), words.text(40))));
  EXPECT_OK(index->commit());
  const auto snapshot = open_newest_commit(IndexPaths(directory_), nullptr);
  ASSERT_TRUE(snapshot);
  // A cache that has room for hardly anything, one that has for all.
  PostingsCache tight({4000, 500});
  PostingsCache wide;
  for (int round = 0; round < 200; ++round) {
    const std::wstring term = index_term(words.draw());
    for (const Snapshot::Segment& segment : (*snapshot)->segments()) {
      PostingsReader narrow_reader(tight, segment.open->reader(), segment.number);
      PostingsReader wide_reader(wide, segment.open->reader(), segment.number);
      const uint8_t* lengths = segment.lengths_of(TermField::word);
      LengthTable table;
      table.fill(1);
      if (round % 3 == 0) table.fill(1.01f);
      if (round % 7 == 0) table.fill(0.3f);
      const Postings a = narrow_reader.find(TermField::word, term, lengths, table);
      const Postings b = wide_reader.find(TermField::word, term, lengths, table);
      ASSERT_EQ(static_cast<bool>(a), static_cast<bool>(b));
      EXPECT_EQ(narrow_reader.holders(TermField::word, term), wide_reader.holders(TermField::word, term));
      EXPECT_LE(tight.bytes(), 40'000u);
      if (!a) continue;
      EXPECT_EQ(a.list().last, b.list().last);
      const Saturation saturation(table);
      TermCursor narrow(narrow_reader, a, 1000, saturation, lengths);
      TermCursor wider(wide_reader, b, 1000, saturation, lengths);
      for (int32_t doc = 0; doc < segment.size; ++doc) {
        const uint32_t units = wider.units_of(doc, 0);
        ASSERT_EQ(narrow.units_of(doc, 0), units);
        // No bound is below what there is.
        TermCursor bounded(wide_reader, b, 1000, saturation, lengths);
        if (units > 0 && doc % 50 == 0) {
          ASSERT_GE(bounded.outlook(doc, doc + 1).bound, units);
        }
      }
    }
  }
}

}  // namespace
}  // namespace wenqu::retrieval
