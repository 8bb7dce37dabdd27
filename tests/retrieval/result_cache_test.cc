#include "retrieval/result_cache.h"

#include "index_fixture.h"

namespace wenqu::retrieval {
namespace {

SearchRequest ask(std::string query) {
  SearchRequest request;
  request.query = std::move(query);
  return request;
}

SearchResponse answer(std::string text) {
  SearchResponse response;
  response.hits.resize(1);
  response.hits[0].passage.text = std::move(text);
  response.total = 1;
  return response;
}

TEST(ResultCache, GivesBackWhatTheSameRequestFound) {
  ResultCache cache(1 << 20);
  EXPECT_FALSE(cache.find(ask("heron")));
  cache.keep(ask("heron"), answer("a heron"));
  ASSERT_TRUE(cache.find(ask("heron")));
  EXPECT_EQ(cache.find(ask("heron"))->hits[0].passage.text, "a heron");
}

TEST(ResultCache, TellsRequestsApartByEverythingInThem) {
  ResultCache cache(1 << 20);
  cache.keep(ask("heron"), answer("a heron"));
  const std::vector<void (*)(SearchRequest&)> changes = {
      [](SearchRequest& r) { r.query = "herons"; },
      [](SearchRequest& r) { r.top = 11; },
      [](SearchRequest& r) { r.offset = 1; },
      [](SearchRequest& r) { r.sources = {Source::chat}; },
      [](SearchRequest& r) { r.one_per_document = true; },
      [](SearchRequest& r) { r.snippets = false; },
      [](SearchRequest& r) { r.filter.published_from = "2024"; },
      [](SearchRequest& r) { r.filter.published_until = "2024"; },
      [](SearchRequest& r) { r.filter.attributes["a"] = {"b"}; },
      [](SearchRequest& r) { r.filter.principals.emplace(); },
      [](SearchRequest& r) { r.filter.principals = {"ann"}; },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    SearchRequest request = ask("heron");
    changes[i](request);
    EXPECT_FALSE(cache.find(request)) << i;
    cache.keep(request, answer(std::to_string(i)));
  }
  for (size_t i = 0; i < changes.size(); ++i) {
    SearchRequest request = ask("heron");
    changes[i](request);
    ASSERT_TRUE(cache.find(request)) << i;
    EXPECT_EQ(cache.find(request)->hits[0].passage.text, std::to_string(i));
  }
}

TEST(ResultCache, ForgetsWhatWasNotAskedForLongest) {
  ResultCache cache(20'000);
  for (int i = 0; i < 100; ++i) {
    cache.keep(ask("question " + std::to_string(i)), answer(std::string(1000, 'x')));
    EXPECT_TRUE(cache.find(ask("question 0"))) << i;   // asked again and again
  }
  EXPECT_FALSE(cache.find(ask("question 1")));
  EXPECT_TRUE(cache.find(ask("question 99")));
  cache.keep(ask("long"), answer(std::string(30'000, 'x')));
  EXPECT_FALSE(cache.find(ask("long")));
  ResultCache none(0);
  none.keep(ask("heron"), answer("a heron"));
  EXPECT_FALSE(none.find(ask("heron")));
}

TEST_F(IndexTest, ASearchAskedAgainFindsTheSameUntilTheIndexChanges) {
  auto index = open(Index::Mode::write);
  EXPECT_OK(index->add(make_document("a", "a lantern")));
  EXPECT_OK(index->commit());
  const SearchResponse first = find(*index, "lantern");
  const SearchResponse again = find(*index, "lantern");
  ASSERT_EQ(again.hits.size(), 1u);
  EXPECT_EQ(again.hits[0].score, first.hits[0].score);
  EXPECT_EQ(again.hits[0].snippet, first.hits[0].snippet);
  EXPECT_EQ(again.hits[0].matches, first.hits[0].matches);
  EXPECT_OK(index->add(make_document("b", "a lantern")));
  EXPECT_EQ(find(*index, "lantern").hits.size(), 1u);
  EXPECT_OK(index->commit());
  EXPECT_EQ(find(*index, "lantern").hits.size(), 2u);
  EXPECT_OK(index->remove("a"));
  EXPECT_OK(index->commit());
  EXPECT_EQ(ids(find(*index, "lantern")), std::vector<std::string>{"b"});
}

}  // namespace
}  // namespace wenqu::retrieval
