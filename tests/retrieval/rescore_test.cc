#include <algorithm>
#include <ctime>
#include <random>
#include <string>
#include <utility>

#include "index_fixture.h"

namespace wenqu::retrieval {
namespace {

std::string filler(const std::string& word) {
  std::string text;
  while (text.size() < 450) text += word + " ";
  return text + ".\n\n";
}

std::string days_ago(int days) {
  const std::time_t then = std::time(nullptr) - std::time_t{days} * 86'400;
  std::tm parts{};
  ::gmtime_r(&then, &parts);
  char date[16];
  std::strftime(date, sizeof date, "%Y-%m-%d", &parts);
  return date;
}

class RescoreTest : public IndexTest {
 protected:
  // The documents of the hits, in order.
  std::vector<std::string> found(const RankingParameters& ranking, const std::string& question) {
    IndexOptions options;
    options.ranking = ranking;
    const auto index = open(Index::Mode::read, options);
    std::vector<std::string> ids;
    for (const Hit& hit : find(*index, question, 100).hits) ids.push_back(hit.passage.document_id);
    return ids;
  }
  void add(const std::vector<Document>& documents) {
    auto index = open(Index::Mode::write);
    for (const Document& document : documents) EXPECT_OK(index->add(document));
    EXPECT_OK(index->commit());
  }
};

TEST_F(RescoreTest, APassageIsBetterWhereItsDocumentSpeaksOfTheRestOfTheQuestion) {
  // Both have a passage about the heron; one of them tells of the lighthouse elsewhere.
  const std::string heron = filler("heron"), other = filler("gravel");
  add({make_document("a", heron + other), make_document("b", heron + filler("lighthouse")), make_document("c", filler("lighthouse"))});
  RankingParameters ranking;
  ranking.document = 0;
  const auto without = found(ranking, "heron lighthouse");
  ASSERT_EQ(without.size(), 4u);
  EXPECT_EQ(without[0], "a");  // all tie
  ranking.document = 1;
  const auto with = found(ranking, "heron lighthouse");
  ASSERT_EQ(with.size(), 4u);
  EXPECT_EQ(with[0], "b");
  EXPECT_EQ(with[1], "b");
}

TEST_F(RescoreTest, ALongDocumentSpeaksForItsPassagesByTheirNeighboursOnly) {
  std::string far = filler("heron");
  for (int i = 0; i < 100; ++i) far += filler("gravel" + std::to_string(i));
  add({make_document("far", far + filler("lighthouse")), make_document("near", filler("heron") + filler("lighthouse"))});
  RankingParameters ranking;
  ranking.document = 1;
  EXPECT_EQ(found(ranking, "heron lighthouse").front(), "near");
}

// How many passages of `a` are among the twenty best for "heron lighthouse", when the first stage finds its best one and
// nineteen fair ones of others before its second.
class NearbyPassagesTest : public RescoreTest {
 protected:
  size_t found_of_a(size_t nearby, bool one_per_document = false) {
    IndexOptions options;
    options.ranking.nearby = nearby;
    const auto index = open(Index::Mode::read, options);
    SearchRequest request;
    request.query = "heron lighthouse";
    request.top = 20;
    request.one_per_document = one_per_document;
    const auto response = index->search(request, CancelToken());
    EXPECT_TRUE(response) << response.status().to_string();
    const std::vector<std::string> found = response ? ids(*response) : std::vector<std::string>();
    EXPECT_EQ(found.size(), 20u);
    return static_cast<size_t>(std::count(found.begin(), found.end(), "a"));
  }
  void add_with_second(const std::string& between, const std::string& second) {
    std::vector<Document> documents{make_document("a", filler("heron lighthouse") + between + second)};
    for (int i = 0; i < 19; ++i) documents.push_back(make_document("b" + std::to_string(i), filler("heron")));
    add(documents);
  }
};

TEST_F(NearbyPassagesTest, OneBesideTheBestTakesThePlaceOfOneThatStandsAlone) {
  add_with_second("", "A heron. " + filler("gravel"));
  EXPECT_EQ(found_of_a(0), 1u);
  EXPECT_EQ(found_of_a(1), 2u);
}

TEST_F(NearbyPassagesTest, OneFartherAwayDoesNot) {
  add_with_second(filler("gravel"), "A heron. " + filler("gravel"));
  EXPECT_EQ(found_of_a(1), 1u);
  EXPECT_EQ(found_of_a(2), 2u);
}

TEST_F(NearbyPassagesTest, OneThatHoldsNothingOfTheQuestionIsNotFound) {
  add_with_second("", filler("gravel"));
  EXPECT_EQ(found_of_a(3), 1u);
}

TEST_F(NearbyPassagesTest, WhereEachDocumentIsFoundOnceItStaysSo) {
  add_with_second("", "A heron. " + filler("gravel"));
  EXPECT_EQ(found_of_a(3, true), 1u);
}

TEST_F(RescoreTest, SourcesMayCountForLess) {
  add({make_document("a", "the heron waits", "", Source::chat), make_document("b", "the heron waits", "", Source::web)});
  RankingParameters ranking;
  EXPECT_EQ(found(ranking, "heron").front(), "a");  // a tie, by id
  ranking.source_priors[static_cast<size_t>(Source::chat)] = 0.5;
  EXPECT_EQ(found(ranking, "heron").front(), "b");
}

TEST_F(RescoreTest, NewDocumentsMayCountForMore) {
  Document old = make_document("a", "the heron waits"), undated = make_document("b", "the heron waits"), fresh = make_document("c", "the heron waits");
  old.published_at = days_ago(400);
  fresh.published_at = days_ago(1) + "T08:00:00Z";
  add({old, undated, fresh});
  RankingParameters ranking;
  EXPECT_EQ(found(ranking, "heron"), (std::vector<std::string>{"a", "b", "c"}));
  ranking.freshness = 0.5;
  EXPECT_EQ(found(ranking, "heron"), (std::vector<std::string>{"c", "a", "b"}));
}

TEST_F(RescoreTest, TheTitleIsPartOfEachPassage) {
  add({make_document("a", filler("gravel") + filler("opening hours"), "The lighthouse"), make_document("b", "opening hours of the town hall")});
  const auto ids = found({}, "lighthouse opening hours");
  ASSERT_EQ(ids.size(), 3u);
  EXPECT_EQ(ids[0], "a");
}

TEST_F(RescoreTest, OfThePassagesWithTheSameWordsTheOneThatHasThemTogetherIsFirst) {
  const std::string between = "山前有一条小路，夏天开满了花，冬天积雪很深，行人不多，只有几只猫在那里晒太阳。";
  add({make_document("a", "白鹭" + between + "灯塔"), make_document("b", between + "白鹭灯塔")});
  RankingParameters without;
  without.signals = {};
  without.bigram.weight = 0;
  RankingParameters with = without;
  with.signals = RankingParameters().signals;
  EXPECT_EQ(found(without, "白鹭灯塔"), (std::vector<std::string>{"a", "b"}));  // a tie, by id
  EXPECT_EQ(found(with, "白鹭灯塔"), (std::vector<std::string>{"b", "a"}));
}

TEST_F(RescoreTest, OnlyTheBestAreLookedAtAndTheRestFollow) {
  std::vector<Document> documents;
  for (int i = 0; i < 31; ++i) documents.push_back(make_document("d" + std::to_string(100 + i), std::string(3 * (static_cast<size_t>(i) * 7 % 31), '.') + "一白鹭" + (i % 2 == 0 ? "二三四" : "")));
  documents.push_back(make_document("d102a", "一二三四五六七八九十白鹭"));
  add(documents);
  RankingParameters plain;
  plain.signals = {};
  plain.rescored = 3;
  RankingParameters ranking = plain;
  ranking.signals[static_cast<size_t>(Signal::length)] = -5;
  const auto ids = found(ranking, "白鹭"), before = found(plain, "白鹭");
  ASSERT_EQ(ids.size(), 32u);
  EXPECT_TRUE(std::is_permutation(ids.begin(), ids.begin() + 3, before.begin()));
  EXPECT_TRUE(std::equal(ids.begin() + 3, ids.end(), before.begin() + 3));

  IndexOptions options;
  options.ranking = ranking;
  const auto index = open(Index::Mode::read, options);
  const auto hits = find(*index, "白鹭", 32).hits;
  for (size_t i = 1; i < hits.size(); ++i) EXPECT_LE(hits[i].score, hits[i - 1].score);
  SearchRequest request;   // pages are cut from the same list
  request.query = "白鹭";
  request.top = 5;
  for (request.offset = 0; request.offset < 30; request.offset += 5) {
    const auto page = index->search(request, CancelToken());
    ASSERT_TRUE(page) << page.status().to_string();
    for (size_t i = 0; i < page->hits.size(); ++i) EXPECT_EQ(page->hits[i].passage.document_id, ids[request.offset + i]);
  }
}

TEST_F(RescoreTest, PagesOfDocumentsWithManyPassagesAreCutFromOneList) {
  std::mt19937 random(3);
  const std::string words = "heron otter ferry stone tower river garden market bridge island ";
  const auto some_words = [&] {
    std::string text;
    for (int i = 0; i < 12; ++i) {
      const size_t word = random() % 10;
      size_t begin = 0;
      for (size_t w = 0; w < word; ++w) begin = words.find(' ', begin) + 1;
      text += words.substr(begin, words.find(' ', begin) + 1 - begin);
    }
    return text;
  };
  std::vector<Document> documents;
  for (int i = 0; i < 40; ++i) {
    Document document = make_document("d" + std::to_string(100 + i), "");
    for (size_t count = 1 + random() % 8; count > 0; --count) {
      const std::string passage = some_words();
      const auto begin = static_cast<uint32_t>(document.text.size());   // code points, as it is ASCII
      document.text += passage;
      document.passages.push_back({begin, static_cast<uint32_t>(document.text.size())});
    }
    documents.push_back(document);
  }
  add(documents);
  const auto index = open(Index::Mode::read);
  using Place = std::pair<std::string, uint32_t>;
  const auto places = [&](size_t offset, size_t top) {
    SearchRequest request;
    request.query = "heron ferry island";
    request.offset = offset, request.top = top;
    const auto response = index->search(request, CancelToken());
    EXPECT_TRUE(response) << response.status().to_string();
    std::vector<Place> found;
    for (const Hit& hit : response->hits) found.emplace_back(hit.passage.document_id, hit.passage.range.begin);
    return found;
  };
  const std::vector<Place> all = places(0, 60);
  ASSERT_EQ(all.size(), 60u);
  std::vector<Place> pages;
  for (size_t offset = 0; offset < 60; offset += 6)
    for (const Place& place : places(offset, 6)) pages.push_back(place);
  EXPECT_EQ(pages, all);
}

TEST_F(RescoreTest, EnglishQuestionsAreLeftAsTheyAre) {
  add({make_document("a", "heron " + filler("gravel") + " lighthouse"), make_document("b", filler("gravel") + " heron lighthouse")});
  RankingParameters without;
  without.signals = {};
  EXPECT_EQ(found({}, "heron lighthouse"), found(without, "heron lighthouse"));
}

TEST_F(RescoreTest, TraditionalQuestionsFindSimplifiedTextAndBack) {
  add({make_document("a", "图书馆周末闭馆"), make_document("b", "圖書館平日開放")});
  EXPECT_EQ(found({}, "圖書館週末"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(found({}, "图书馆开放"), (std::vector<std::string>{"b", "a"}));
}

}  // namespace
}  // namespace wenqu::retrieval
