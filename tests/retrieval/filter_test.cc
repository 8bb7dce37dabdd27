#include "retrieval/filter.h"

#include <gmock/gmock.h>

#include <random>

#include "index_fixture.h"

namespace wenqu::retrieval {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST(ParseTime, ReadsDatesAndDateTimes) {
  EXPECT_EQ(parse_time("1970-01-01"), (TimeSpan{0, 86'399}));
  EXPECT_EQ(parse_time("1970-01-01T00:00:10Z"), (TimeSpan{10, 10}));
  EXPECT_EQ(parse_time("1970-01-01T00:01"), (TimeSpan{60, 119}));
  EXPECT_EQ(parse_time("1970-01-01 08:00:00.25+08:00"), (TimeSpan{0, 0}));
  EXPECT_EQ(parse_time("1969-12-31T23:59:59-0000"), (TimeSpan{-1, -1}));
  EXPECT_EQ(parse_time("2024-02"), (TimeSpan{1706745600, 1709251199}));
  EXPECT_EQ(parse_time("2024"), (TimeSpan{1704067200, 1735689599}));
  for (const char* text : {"", "24", "2024-13", "2024-02-30", "2024-02-03T", "2024-02-03T25:00", "2024-02-03T10:00+8",
                           "2024-02-03x", "2024-2-3", "2024-02-03T10:00Zz", "last week"})
    EXPECT_FALSE(parse_time(text)) << text;
}

class FilterTest : public IndexTest {
 protected:
  std::vector<std::string> found(const Index& index, Filter filter) {
    SearchRequest request;
    request.query = "lantern";
    request.filter = std::move(filter);
    const auto response = index.search(request, CancelToken());
    EXPECT_TRUE(response) << response.status().to_string();
    return response ? ids(*response) : std::vector<std::string>();
  }
  static Document lantern(std::string id, std::string published_at = {}) {
    Document document = make_document(std::move(id), "a lantern");
    document.published_at = std::move(published_at);
    return document;
  }
};

TEST_F(FilterTest, KeepsDocumentsOfATimeBothEndsIncluded) {
  auto index = open(Index::Mode::write);
  for (const char* time : {"2023-12-31", "2024-01-01", "2024-01-31T23:59:59", "2024-02-01T07:00:00+08:00", "2024-02-01", "before the war", ""})
    EXPECT_OK(index->add(lantern(std::string("at ") + time, time)));
  EXPECT_OK(index->commit());
  EXPECT_EQ(found(*index, {}).size(), 7u);
  EXPECT_THAT(found(*index, {"2024-01-01", "2024-01-31"}),
              UnorderedElementsAre("at 2024-01-01", "at 2024-01-31T23:59:59", "at 2024-02-01T07:00:00+08:00"));
  EXPECT_THAT(found(*index, {"2024-01-31T23:59:59", ""}), UnorderedElementsAre("at 2024-01-31T23:59:59", "at 2024-02-01"));
  EXPECT_THAT(found(*index, {"", "2023"}), ElementsAre("at 2023-12-31"));
  EXPECT_THAT(found(*index, {"2025", "2024"}), IsEmpty());
  SearchRequest request;
  request.query = "lantern";
  request.filter.published_from = "yesterday";
  EXPECT_EQ(index->search(request, CancelToken()).status().code(), StatusCode::invalid_argument);
}

TEST_F(FilterTest, KeepsDocumentsWithOneOfTheValuesOfEachAttribute) {
  auto index = open(Index::Mode::write);
  for (const auto& [id, town, year] : std::vector<std::array<std::string, 3>>{{"a", "青石", "1"}, {"b", "青石", "2"}, {"c", "白水", "1"}, {"d", "", "1"}}) {
    Document document = lantern(id);
    document.attributes = {{"town", town}, {"year", year}};
    EXPECT_OK(index->add(document));
  }
  EXPECT_OK(index->add(lantern("none")));
  EXPECT_OK(index->commit());
  EXPECT_THAT(found(*index, {"", "", {{"town", {"青石"}}}}), UnorderedElementsAre("a", "b"));
  EXPECT_THAT(found(*index, {"", "", {{"town", {"青石", "白水"}}, {"year", {"1"}}}}), UnorderedElementsAre("a", "c"));
  EXPECT_THAT(found(*index, {"", "", {{"town", {""}}}}), ElementsAre("d"));
  EXPECT_THAT(found(*index, {"", "", {{"town", {}}}}), IsEmpty());
  EXPECT_THAT(found(*index, {"", "", {{"tow", {"n青石"}}}}), IsEmpty());
}

TEST_F(FilterTest, ShowsNobodyWhatIsForOthers) {
  auto index = open(Index::Mode::write);
  for (const auto& [id, acl] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"all", {}}, {"ann", {"ann"}}, {"both", {"ann", "群:编辑"}}, {"editors", {"群:编辑"}}}) {
    Document document = lantern(id);
    document.acl = acl;
    EXPECT_OK(index->add(document));
  }
  EXPECT_OK(index->commit());
  const auto as = [](std::vector<std::string> principals) {
    Filter filter;
    filter.principals = std::move(principals);
    return filter;
  };
  EXPECT_EQ(found(*index, {}).size(), 4u);
  EXPECT_THAT(found(*index, as({})), ElementsAre("all"));
  EXPECT_THAT(found(*index, as({"ann"})), UnorderedElementsAre("all", "ann", "both"));
  EXPECT_THAT(found(*index, as({"群:编辑", "bob"})), UnorderedElementsAre("all", "both", "editors"));
  EXPECT_THAT(found(*index, as({"an", "r", "q", ""})), ElementsAre("all"));
  EXPECT_THAT(index->fetch("both")->acl, ElementsAre("ann", "群:编辑"));

  // Who may find a document changes with the document, and no passage of it slips through.
  std::string filler;
  for (int i = 0; i < 60; ++i) filler += "A lantern is told of in this sentence too. ";
  Document changed = make_document("all", filler);
  changed.acl = {"bob"};
  EXPECT_OK(index->add(changed));
  EXPECT_OK(index->commit());
  EXPECT_THAT(found(*index, as({})), IsEmpty());
  EXPECT_GT(found(*index, as({"bob"})).size(), 3u);

  Document unusable = lantern("unusable");
  unusable.acl = {std::string(513, 'x')};
  EXPECT_EQ(index->add(unusable).code(), StatusCode::invalid_argument);
  unusable.acl = {""};
  EXPECT_EQ(index->add(unusable).code(), StatusCode::invalid_argument);
}

TEST_F(FilterTest, AgreesWithLookingAtEveryDocument) {
  std::mt19937 random(5);
  auto index = open(Index::Mode::write);
  std::map<std::string, Document> documents;
  const auto day = [&] { return "2024-0" + std::to_string(random() % 9 + 1) + "-1" + std::to_string(random() % 10); };
  const auto some = [&] { return std::string(1, static_cast<char>('a' + random() % 4)); };
  for (int i = 0; i < 300; ++i) {
    Document document = lantern("d" + std::to_string(random() % 150), random() % 5 ? day() : "");
    document.source = static_cast<Source>(random() % 5);
    if (random() % 2) document.attributes["x"] = some();
    if (random() % 2) document.acl = {some(), some()};
    documents[document.id] = document;
    EXPECT_OK(index->add(document));
    if (random() % 60 == 0) EXPECT_OK(index->commit());
  }
  EXPECT_OK(index->commit());
  for (int i = 0; i < 200; ++i) {
    SearchRequest request;
    request.query = "lantern";
    request.top = 1000;
    if (random() % 2) request.sources = {static_cast<Source>(random() % 5), static_cast<Source>(random() % 5)};
    if (random() % 2) request.filter.published_from = day();
    if (random() % 2) request.filter.published_until = day();
    if (random() % 2) request.filter.attributes["x"] = {some(), some()};
    if (random() % 2) request.filter.principals = {some()};
    std::vector<std::string> expected;
    for (const auto& [id, document] : documents) {
      const auto time = parse_time(document.published_at);
      const auto has = [](const std::vector<std::string>& values, const std::string& value) {
        return std::find(values.begin(), values.end(), value) != values.end();
      };
      if (!request.sources.empty() && std::find(request.sources.begin(), request.sources.end(), document.source) == request.sources.end()) continue;
      if (!request.filter.published_from.empty() && (!time || document.published_at < request.filter.published_from)) continue;
      if (!request.filter.published_until.empty() && (!time || document.published_at > request.filter.published_until)) continue;
      if (!request.filter.attributes.empty() &&
          (!document.attributes.contains("x") || !has(request.filter.attributes.at("x"), document.attributes.at("x")))) continue;
      if (request.filter.principals && !document.acl.empty() && !has(document.acl, request.filter.principals->front())) continue;
      expected.push_back(id);
    }
    const auto response = index->search(request, CancelToken());
    ASSERT_TRUE(response);
    ASSERT_THAT(ids(*response), testing::UnorderedElementsAreArray(expected));
    ASSERT_EQ(response->total, expected.size());
  }
}

TEST_F(FilterTest, PagesFollowEachOther) {
  auto index = open(Index::Mode::write);
  for (int i = 0; i < 25; ++i) EXPECT_OK(index->add(lantern("d" + std::to_string(i))));
  EXPECT_OK(index->commit());
  const std::vector<std::string> all = ids(find(*index, "lantern", 100));
  std::vector<std::string> pages;
  for (size_t offset = 0; offset < 30; offset += 10) {
    SearchRequest request;
    request.query = "lantern";
    request.offset = offset;
    const auto page = index->search(request, CancelToken());
    ASSERT_TRUE(page);
    EXPECT_EQ(page->total, 25u);
    EXPECT_TRUE(page->total_is_exact);
    for (const std::string& id : ids(*page)) pages.push_back(id);
  }
  EXPECT_EQ(pages, all);
  SearchRequest request;
  request.query = "lantern";
  request.offset = 9'991;
  EXPECT_EQ(index->search(request, CancelToken()).status().code(), StatusCode::invalid_argument);
}

}  // namespace
}  // namespace wenqu::retrieval
