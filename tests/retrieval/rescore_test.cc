#include <ctime>

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

TEST_F(RescoreTest, TraditionalQuestionsFindSimplifiedTextAndBack) {
  add({make_document("a", "图书馆周末闭馆"), make_document("b", "圖書館平日開放")});
  EXPECT_EQ(found({}, "圖書館週末"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(found({}, "图书馆开放"), (std::vector<std::string>{"b", "a"}));
}

}  // namespace
}  // namespace wenqu::retrieval
