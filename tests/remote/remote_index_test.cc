// What goes to a cluster and what is made of its answers. remote_test.py holds the whole against Java Lucene.
#include "retrieval/remote/remote_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>

#include "base/http/url.h"
#include "fault_server.h"
#include "retrieval/documents/passages.h"
#include "retrieval/rank/bm25.h"
#include "retrieval/remote/answers.h"
#include "retrieval/remote/cluster.h"
#include "retrieval/remote/credentials.h"
#include "retrieval/remote/fuse.h"
#include "retrieval/remote/weigh.h"

namespace wenqu::retrieval {
namespace {

using testing::HasSubstr;
using testing::Not;

// Sets a variable of the environment for as long as it lives.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

// The mapping of an index of ours; `more` of its _meta.
std::string origin(const std::string& more = "") {
  return R"({"notes":{"mappings":{"_meta":{"wenqu_format":)" + std::to_string(kRemoteFormat) + R"(,"wenqu_analysis":)" +
         std::to_string(kAnalysisVersion) + more + "}}}}";
}

// Answers by method and path, without the query; what is not set is as of a healthy, empty index of ours.
class FakeCluster {
 public:
  using Answers = std::map<std::string, std::vector<std::string>>;
  // hangs: called with each request; true: it is never answered.
  explicit FakeCluster(Answers answers = {}, std::function<bool(const std::string&)> hangs = {})
      : answers_(std::move(answers)), server_([this, hangs = std::move(hangs)](const std::string& request, size_t) {
          return hangs && hangs(request) ? FaultServer::Reply{"", false, true} : FaultServer::Reply{answer_to(request), false, false};
        }) {}

  std::string url() const { return server_.url("/notes"); }
  std::vector<std::string> requests() const { return server_.requests(); }
  size_t count(const std::string& beginning) const {
    size_t count = 0;
    for (const std::string& request : requests()) count += request.starts_with(beginning);
    return count;
  }

 private:
  std::string answer_to(const std::string& request) {
    std::string key = request.substr(0, request.find(" HTTP/1.1"));
    key = key.substr(0, key.find('?'));
    if (auto& own = answers_[key]; !own.empty()) {
      const std::string answer = own.front();
      if (own.size() > 1) own.erase(own.begin());
      return answer;
    }
    if (key == "GET /") return http_answer(200, R"({"version":{"number":"2.11.0","distribution":"opensearch"}})");
    if (key == "GET /notes/_mapping")
      return http_answer(200, origin());
    if (key == "GET /_cluster/health/notes") return http_answer(200, R"({"status":"green","timed_out":false})");
    if (key == "POST /notes/_mget") return http_answer(200, R"({"docs":[{"found":false}]})");
    if (key == "POST /notes/_refresh") return http_answer(200, "{}");
    return http_answer(404, R"({"found":false})");
  }

  Answers answers_;
  FaultServer server_;
};

Result<std::unique_ptr<Index>> open(const FakeCluster& cluster, Index::Mode mode = Index::Mode::write) {
  IndexOptions options;
  options.remote.timeout = std::chrono::milliseconds(5000);
  return Index::open(cluster.url(), mode, options);
}

// To a bulk request of so many parts, all of which the cluster takes.
std::string taken(size_t parts) {
  std::string items;
  for (size_t i = 0; i < parts; ++i) items += std::string(i > 0 ? "," : "") + R"({"index":{"status":201}})";
  return http_answer(200, R"({"errors":false,"items":[)" + items + "]}");
}

std::vector<std::string> bulks_of(const FakeCluster& cluster) {
  std::vector<std::string> bulks;
  for (const std::string& request : cluster.requests())
    if (request.starts_with("POST /notes/_bulk")) bulks.push_back(request);
  return bulks;
}

Document note(std::string text) {
  Document document;
  document.id = "note";
  document.text = std::move(text);
  return document;
}

TEST(RemoteIndex, IsOpenedWhereAnAddressStandsForADirectory) {
  const FakeCluster cluster;
  const auto index = open(cluster, Index::Mode::read);
  ASSERT_TRUE(index) << index.status().to_string();
  EXPECT_EQ((*index)->stats().commit, 0u);
  EXPECT_EQ((*index)->add(note("text")).code(), StatusCode::unsupported);
  EXPECT_EQ(Index::open("htps://host/notes", Index::Mode::write).status().code(), StatusCode::invalid_argument);
  EXPECT_EQ(Index::open_together({cluster.url(), "/tmp/x"}).status().code(), StatusCode::unsupported);
}

TEST(RemoteIndex, ARequestThatIsTooLargeGoesInHalves) {
  const std::string too_large = http_answer(413, "<html>Request Entity Too Large</html>");
  {
    const FakeCluster cluster({{"POST /notes/_bulk", {taken(1), too_large, taken(1)}}});
    const auto index = open(cluster);
    ASSERT_TRUE(index) << index.status().to_string();
    Document document = note("水边。山上。");
    document.passages = {{0, 3}, {3, 6}};
    ASSERT_TRUE((*index)->add(document));
    const Status status = (*index)->commit();
    EXPECT_TRUE(status) << status.to_string();
  }
  const FakeCluster cluster({{"POST /notes/_bulk", {too_large}}});
  const auto index = open(cluster);
  ASSERT_TRUE((*index)->add(note("text")));
  const Status status = (*index)->commit();
  EXPECT_EQ(status.code(), StatusCode::io_error);
  EXPECT_THAT(status.to_string(), HasSubstr("note: a part of the document"));
}

TEST(RemoteIndex, WhatIsNotThereIsAnErrorButWhereItWasToBeRemoved) {
  const FakeCluster cluster({{"POST /notes/_bulk", {http_answer(200, R"({"errors":true,"items":[{"index":{"status":404,"error":{"type":"index_not_found_exception"}}}]})")}}});
  const auto index = open(cluster);
  ASSERT_TRUE((*index)->add(note("text")));
  EXPECT_EQ((*index)->commit().code(), StatusCode::io_error);
}

TEST(RemoteIndex, TellsWhyItCannotBeOpened) {
  struct Case {
    const char* request;
    std::string answer;
    StatusCode code;
    const char* told;
  };
  const Case cases[] = {
      {"GET /", http_answer(200, "<html>hello</html>"), StatusCode::corrupt, "no JSON"},
      {"GET /", http_answer(200, R"({"version":{"number":"6.8.1"}})"), StatusCode::unsupported, "6.8.1"},
      {"GET /", http_answer(200, R"({"version":7})"), StatusCode::unsupported, "neither"},
      {"GET /", http_answer(200, "{"), StatusCode::corrupt, "JSON"},
      {"GET /", http_answer(401, R"({"error":{"type":"security_exception","reason":"missing"}})"),
       StatusCode::invalid_argument, "WENQU_REMOTE_PASSWORD"},
      {"GET /", http_answer(302, "", "Location: http://evil/\r\n"), StatusCode::io_error, "302"},
      {"GET /notes/_mapping", http_answer(404, R"({"error":{"type":"index_not_found_exception"}})"),
       StatusCode::not_found, "wenqu index --remote"},
      {"GET /notes/_mapping", http_answer(200, R"({"notes":{"mappings":{"properties":{}}}})"),
       StatusCode::invalid_argument, "not made by wenqu"},
      {"GET /notes/_mapping",
       http_answer(200, R"({"n":{"mappings":{"_meta":{"wenqu_format":99,"wenqu_analysis":1}}}})"),
       StatusCode::version_mismatch, "99"},
      {"GET /_cluster/health/notes", http_answer(408, R"({"status":"red","timed_out":true,"unassigned_shards":3})"),
       StatusCode::io_error, "red"},
      {"GET /_cluster/health/notes", http_answer(200, R"({"status":"purple"})"), StatusCode::corrupt, "health"},
      {"GET /notes/_doc/wenqu-commit", http_answer(500, "oops"), StatusCode::io_error, "500"},
  };
  for (const Case& failing : cases) {
    const FakeCluster cluster({{failing.request, {failing.answer}}});
    const auto index = open(cluster, Index::Mode::read);
    ASSERT_FALSE(index) << failing.answer;
    EXPECT_EQ(index.status().code(), failing.code) << index.status().to_string();
    EXPECT_THAT(index.status().to_string(), HasSubstr(failing.told));
    EXPECT_THAT(index.status().to_string(), HasSubstr("127.0.0.1"));
  }
}

TEST(RemoteIndex, GoesOnWhereItMayNotLookAtTheClustersHealth) {
  const FakeCluster cluster({{"GET /_cluster/health/notes", {http_answer(403, "{}")}}});
  EXPECT_TRUE(open(cluster, Index::Mode::read));
}

TEST(RemoteIndex, NamesAnIndexAsClustersDo) {
  for (const char* name : {"", "/", "/_all", "/a,b", "/A", "/a*", "/-a", "/a%2Fb"}) {
    const auto index = Index::open("http://127.0.0.1:1" + std::string(name), Index::Mode::write);
    ASSERT_FALSE(index);
    EXPECT_EQ(index.status().code(), StatusCode::invalid_argument) << name;
  }
}

TEST(RemoteIndex, SendsOnlyThePartsAgainThatWereRefusedForTheMoment) {
  const FakeCluster cluster(
      {{"POST /notes/_bulk",
        {taken(1),
         http_answer(
             200,
             R"({"errors":true,"items":[{"index":{"status":201}},{"index":{"status":429,"error":{"type":"full"}}}]})"),
         taken(1)}}});
  const auto index = open(cluster);
  ASSERT_TRUE(index);
  Document document = note("水边。山上。");
  document.passages = {{0, 3}, {3, 6}};
  ASSERT_TRUE((*index)->add(document));
  const Status visible = (*index)->make_visible();
  EXPECT_TRUE(visible) << visible.to_string();
  const std::vector<std::string> bulks = bulks_of(cluster);
  ASSERT_EQ(bulks.size(), 3u);
  EXPECT_THAT(bulks[1], testing::AllOf(HasSubstr("\"ordinal\":0"), HasSubstr("\"ordinal\":1")));
  EXPECT_THAT(bulks[2], testing::AllOf(Not(HasSubstr("\"ordinal\":0")), HasSubstr("\"ordinal\":1")));
}

TEST(RemoteIndex, SendsNoPassageBeforeItsRecordIsTaken) {
  const FakeCluster cluster({{"POST /notes/_bulk",
                              {http_answer(200, R"({"errors":true,"items":[{"index":{"status":400,"error":{"type":"no"}}}]})"), taken(1)}}});
  const auto index = open(cluster);
  ASSERT_TRUE(index);
  ASSERT_TRUE((*index)->add(note("The heron stands by the sluice.")));
  EXPECT_EQ((*index)->make_visible().code(), StatusCode::io_error);
  ASSERT_EQ(bulks_of(cluster).size(), 1u);
  EXPECT_THAT(bulks_of(cluster)[0], testing::AllOf(HasSubstr("\"kind\":\"record\""), Not(HasSubstr("\"kind\":\"passage\""))));
  EXPECT_TRUE((*index)->make_visible());
  ASSERT_EQ(bulks_of(cluster).size(), 3u);
  EXPECT_THAT(bulks_of(cluster)[2], HasSubstr("\"kind\":\"passage\""));
}

TEST(RemoteIndex, RemovesNoRecordBeforeItsPassagesAreGone) {
  const FakeCluster cluster({{"POST /notes/_mget", {http_answer(200, R"({"docs":[{"found":true,"_source":{"slots":2}}]})")}},
                             {"POST /notes/_bulk", {http_answer(500, "oops"), taken(2), taken(1)}}});
  const auto index = open(cluster);
  ASSERT_TRUE(index);
  ASSERT_TRUE((*index)->remove("note"));
  EXPECT_FALSE((*index)->make_visible());
  EXPECT_TRUE((*index)->make_visible());
  const std::vector<std::string> bulks = bulks_of(cluster);
  ASSERT_EQ(bulks.size(), 3u);
  const std::string record = "{\"delete\":{\"_id\":\"" + record_key("note") + "\"";
  EXPECT_THAT(bulks[0], Not(HasSubstr(record)));
  EXPECT_THAT(bulks[1], testing::AllOf(HasSubstr(record_key("note") + "-1\""), Not(HasSubstr(record))));
  EXPECT_THAT(bulks[2], HasSubstr(record));
}

TEST(RemoteIndex, NamesTheDocumentThatTheClusterRefused) {
  for (
      const std::string& answer :
      {std::string(
           R"({"errors":true,"items":[{"index":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"no"}}}]})"),
       std::string(R"({"items":[{"index":{"status":201}},{"index":{"status":201}}]})"), std::string(R"({"items":[]})"),
       std::string(R"({"items":[{"index":{}}]})"), std::string(R"({"items":[7]})"), std::string(R"({"items":[{"index":)"),
       std::string("[]")}) {
    const FakeCluster cluster({{"POST /notes/_bulk", {http_answer(200, answer)}}});
    const auto index = open(cluster);
    ASSERT_TRUE(index);
    ASSERT_TRUE((*index)->add(note("text")));
    const Status committed = (*index)->commit();
    const bool refused = answer.find("mapper") != answer.npos;
    EXPECT_EQ(committed.code(), refused ? StatusCode::io_error : StatusCode::corrupt)
        << answer << committed.to_string();
    if (!refused) continue;
    EXPECT_THAT(committed.message(), testing::AllOf(HasSubstr("mapper_parsing_exception: no"),
                                                    HasSubstr("document note"), HasSubstr("1 of 1")));
  }
}

TEST(RemoteIndex, WhatCouldNotBeSentGoesWithTheNextCommit) {
  const FakeCluster cluster({{"POST /notes/_bulk", {http_answer(500, "oops"), taken(1)}}});
  const auto index = open(cluster);
  ASSERT_TRUE(index);
  ASSERT_TRUE((*index)->add(note("The heron stands by the sluice.")));
  EXPECT_EQ((*index)->commit().code(), StatusCode::io_error);
  const Status committed = (*index)->commit();
  EXPECT_TRUE(committed) << committed.to_string();
  const std::vector<std::string> bulks = bulks_of(cluster);
  ASSERT_EQ(bulks.size(), 4u);   // the second time, and the commit's number
  EXPECT_THAT(bulks[1], HasSubstr("The heron stands by the sluice."));
}

TEST(RemoteIndex, TakesNoMoreThanABatchWhereNothingCanBeSent) {
  const FakeCluster cluster({{"POST /notes/_mget", {http_answer(500, "oops")}}});
  const auto index = open(cluster);
  ASSERT_TRUE(index);
  const auto add = [&](const std::string& id, const std::string& text) {
    Document document = note(text);
    document.id = id;
    return (*index)->add(document);
  };
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(add("d" + std::to_string(i), "text"));
  EXPECT_EQ(add("more", "text").code(), StatusCode::io_error);
  EXPECT_EQ(add("d7", "a longer text").code(), StatusCode::io_error);
  EXPECT_TRUE((*index)->remove("d7")) << "it takes the place of a larger change";
  EXPECT_TRUE(add("d8", "TEXT"));
  EXPECT_EQ(add("more", "text").code(), StatusCode::io_error);
}

TEST(RemoteIndex, RemovesThePassagesThatADocumentHasNoLonger) {
  const FakeCluster cluster(
      {{"POST /notes/_mget", {http_answer(200, R"({"docs":[{"found":true,"_source":{"slots":3}}]})")}},
       {"POST /notes/_bulk", {taken(1), taken(3), taken(1)}}});
  const auto index = open(cluster);
  ASSERT_TRUE(index);
  ASSERT_TRUE((*index)->add(note("short")));
  EXPECT_TRUE((*index)->commit());
  const std::string key = record_key("note");
  std::string bulk;
  for (const std::string& request : bulks_of(cluster)) bulk += request;
  EXPECT_THAT(bulk, HasSubstr("{\"index\":{\"_id\":\"" + key + "\",\"routing\":\"" + key + "\"}}\n"));
  EXPECT_THAT(bulk, HasSubstr("{\"index\":{\"_id\":\"" + key + "-0\""));
  EXPECT_THAT(bulk, HasSubstr("{\"delete\":{\"_id\":\"" + key + "-1\""));
  EXPECT_THAT(bulk, HasSubstr("{\"delete\":{\"_id\":\"" + key + "-2\""));
  EXPECT_THAT(bulk, Not(HasSubstr(key + "-3")));
  EXPECT_THAT(bulk, HasSubstr("\"slots\":3"));
}

TEST(RemoteIndex, RefusesWhatItCannotKeepBeforeAnythingIsSent) {
  const FakeCluster cluster;
  const auto index = open(cluster);
  ASSERT_TRUE(index);
  Document nameless = note("text");
  nameless.id.clear();
  EXPECT_EQ((*index)->add(nameless).code(), StatusCode::invalid_argument);
  EXPECT_EQ((*index)->add(note(std::string((size_t{32} << 20) + 1, 'x'))).code(), StatusCode::limit_exceeded);
  Document wide = note("text");
  wide.author = std::string(kMaxAuthorBytes + 1, 'a');
  EXPECT_EQ((*index)->add(wide).code(), StatusCode::limit_exceeded);
  EXPECT_EQ((*index)->remove("").code(), StatusCode::invalid_argument);
  EXPECT_EQ(cluster.count("POST"), 0u);
}

TEST(RemoteIndex, DoesNotTakeAPartOfTheTruthForAllOfIt) {
  const std::string statistics =
      R"("aggregations":{"kinds":{"buckets":[{"doc_count":1},{"doc_count":1}]},"terms":{"buckets":[{"doc_count":1},{"doc_count":0}]},)"
      R"("lu":{"count":0,"avg":null},"lb":{"count":0},"lw":{"count":1,"avg":1.5},"ld":{"count":0},"ly":{"count":0},"ltw":{"count":0}})";
  const auto search_of = [](const FakeCluster& cluster) {
    const auto index = open(cluster, Index::Mode::read);
    EXPECT_TRUE(index);
    SearchRequest request;
    request.query = "x7";
    return (*index)->search(request, {}).status();
  };
  for (const auto& [answer, code] :
       {std::pair(std::string(R"({"timed_out":true,"hits":{"hits":[]}})"), StatusCode::timeout),
        {R"({"_shards":{"failed":1},"hits":{"hits":[]}})", StatusCode::io_error},
        {R"({"hits":{}})", StatusCode::corrupt},
        {R"({"hits":{"hits":[{"_score":1}]}})", StatusCode::corrupt},
        {R"({"hits":{"hits":[{"_score":"x","_source":{}}]}})", StatusCode::corrupt},
        {R"({"hits":{"hits":[{"_score":1,"_source":{"document_id":"a","source":"moon"}}]}})", StatusCode::corrupt},
        {R"({"hits":{"hits":[{"_score":1,"_source":{"document_id":"a","source":"web","begin":2,"end":1}}]}})",
         StatusCode::corrupt},
        {std::string(5000, '['), StatusCode::corrupt},
        {"{\"hits\":{\"hits\":[{\"_score\":1,\"_source\":{\"document_id\":\"\xff\",\"source\":\"web\"}}]}}",
         StatusCode::corrupt}}) {
    const FakeCluster cluster(
        {{"POST /notes/_search",
          {http_answer(200, R"({"hits":{"hits":[]},)" + statistics + "}"), http_answer(200, answer)}}});
    const Status status = search_of(cluster);
    EXPECT_EQ(status.code(), code) << answer.substr(0, 100) << " " << status.to_string();
  }
  const FakeCluster fewer(
      {{"POST /notes/_search",
        {http_answer(200, R"({"hits":{"hits":[]},"aggregations":{"kinds":{"buckets":[{"doc_count":1}]}}})")}}});
  EXPECT_EQ(search_of(fewer).code(), StatusCode::corrupt);
}

TEST(RemoteIndex, AsksForSeveralSearchesAtOnce) {
  const std::string statistics =
      R"({"hits":{"hits":[]},"aggregations":{"kinds":{"buckets":[{"doc_count":1},{"doc_count":9}]},)"
      R"("terms":{"buckets":[{"doc_count":1},{"doc_count":2},{"doc_count":0},{"doc_count":0}]},)"
      R"("lu":{"count":0},"lb":{"count":0},"lw":{"count":9,"avg":1.5},"ld":{"count":0},"ly":{"count":0},"ltw":{"count":0}}})";
  const std::string hit =
      R"({"hits":{"total":{"value":1,"relation":"eq"},"hits":[{"_score":1.5,"_source":{"document_id":"d","source":"web",)"
      R"("ordinal":0,"passages":1,"begin":0,"end":2,"text":"x7"}}]}})";
  const FakeCluster cluster(
      {{"POST /notes/_search", {http_answer(200, statistics)}},
       {"POST /notes/_msearch", {http_answer(200, "{\"responses\":[" + hit + "," + hit + "]}")}}});
  const auto index = open(cluster, Index::Mode::read);
  ASSERT_TRUE(index);
  std::vector<SearchRequest> requests(3);
  requests[0].query = "x7";
  requests[1].query = "。";  // has no term: it is answered and not asked
  requests[2].query = "x8";
  const auto found = (*index)->search_all(requests, {});
  ASSERT_TRUE(found) << found.status().to_string();
  ASSERT_EQ(found->size(), 3u);
  EXPECT_EQ((*found)[0].hits.size(), 1u);
  EXPECT_EQ((*found)[1].hits.size(), 0u);
  EXPECT_EQ((*found)[2].hits.at(0).passage.document_id, "d");
  EXPECT_EQ(cluster.count("POST /notes/_msearch"), 1u);
  EXPECT_EQ(cluster.count("POST /notes/_search"), 1u);
}

// Vectors of two numbers.
IndexOptions with_model(const std::string& identity) {
  IndexOptions options;
  options.models.embedding = {identity, 2, [](std::span<const std::string> texts, TextRole, const CancelToken&) -> Result<std::vector<float>> {
                                std::vector<float> vectors;
                                for (const std::string& text : texts) vectors.insert(vectors.end(), {static_cast<float>(text.size()), 0});
                                return vectors;
                              }};
  return options;
}

TEST(RemoteIndex, SendsTheVectorsOfPassagesAndRefusesThoseOfAnotherModel) {
  const FakeCluster cluster({{"GET /notes/_mapping", {http_answer(200, origin(R"(,"wenqu_embedding":"one","wenqu_dimensions":2)"))}},
                             {"POST /notes/_bulk", {taken(1)}}});
  const auto index = Index::open(cluster.url(), Index::Mode::write, with_model("one"));
  ASSERT_TRUE(index) << index.status().to_string();
  ASSERT_TRUE((*index)->add(note("text")));
  const Status sent = (*index)->make_visible();
  ASSERT_TRUE(sent) << sent.to_string();
  EXPECT_THAT(cluster.requests(), testing::Contains(HasSubstr(R"("v":[1,0])")));
  EXPECT_EQ(Index::open(cluster.url(), Index::Mode::read, with_model("two")).status().code(), StatusCode::version_mismatch);
  EXPECT_EQ(Index::open(cluster.url(), Index::Mode::write).status().code(), StatusCode::unsupported);
  EXPECT_TRUE(Index::open(cluster.url(), Index::Mode::read));
  const FakeCluster plain;
  EXPECT_EQ(Index::open(plain.url(), Index::Mode::write, with_model("one")).status().code(), StatusCode::unsupported);
  EXPECT_TRUE(Index::open(plain.url(), Index::Mode::read, with_model("one")));
}

TEST(RemoteIndex, DeclaresVectorsInTheFormOfTheProductAndNotToOneThatIsTooOld) {
  for (const auto& [server, declared] :
       {std::pair(R"({"version":{"number":"2.4.0","distribution":"opensearch"}})", R"("v":{"type":"knn_vector","dimension":2,)"),
        {R"({"version":{"number":"8.4.0"}})", R"("v":{"type":"dense_vector","dims":2,"index":true,"similarity":"cosine"})"},
        {R"({"version":{"number":"2.3.1","distribution":"opensearch"}})", ""},
        {R"({"version":{"number":"8.3.9"}})", ""}}) {
    const FakeCluster cluster({{"GET /", {http_answer(200, server)}}, {"GET /notes/_mapping", {http_answer(404, "{}")}}, {"PUT /notes", {http_answer(200, "{}")}}});
    const auto index = Index::open(cluster.url(), Index::Mode::write, with_model("one"));
    if (*declared)
      EXPECT_THAT(cluster.requests(), testing::Contains(HasSubstr(declared))) << server;
    else
      EXPECT_EQ(index.status().code(), StatusCode::unsupported) << server;
  }
}

TEST(RemoteIndex, ReadsWhatItWasTaughtAgainWhenSomethingWasCommitted) {
  const auto taught = [](const char* synonyms) {
    Vocabulary vocabulary;
    vocabulary.synonyms = *parse_synonyms(synonyms);
    BulkItem item = vocabulary_note(vocabulary);
    item.lines.pop_back();
    return http_answer(200, R"({"found":true,"_source":)" + item.lines.substr(item.lines.find('\n') + 1) + "}");
  };
  const std::string statistics =
      R"({"hits":{"hits":[]},"aggregations":{"kinds":{"buckets":[{"doc_count":1},{"doc_count":9}]},"terms":{"buckets":[{"doc_count":1}]},)"
      R"("lu":{"count":0},"lb":{"count":0},"lw":{"count":9,"avg":1.5},"ld":{"count":0},"ly":{"count":0},"ltw":{"count":0}}})";
  const FakeCluster cluster({{"GET /notes/_doc/wenqu-vocabulary", {taught("x7, x8"), taught("x7, x9")}},
                             {"GET /notes/_doc/wenqu-commit",
                              {http_answer(200, R"({"_source":{"commit":1}})"), http_answer(200, R"({"_source":{"commit":1}})"),
                               http_answer(200, R"({"_source":{"commit":2}})")}},
                             {"POST /notes/_search", {http_answer(200, statistics)}}});
  const auto index = open(cluster, Index::Mode::read);
  ASSERT_TRUE(index) << index.status().to_string();
  const auto others = [&]() -> std::vector<std::string> {
    const auto weighed = (*index)->weigh("x7", true);
    return weighed && !weighed->empty() ? weighed->front().others : std::vector<std::string>();
  };
  EXPECT_EQ(others(), std::vector<std::string>{"x8"});
  ASSERT_TRUE((*index)->refresh());
  EXPECT_EQ(others(), std::vector<std::string>{"x8"});
  ASSERT_TRUE((*index)->refresh());
  EXPECT_EQ(others(), std::vector<std::string>{"x9"});
  IndexOptions other;
  other.vocabulary.words = std::vector<UserWord>{{"渠塘"}};
  EXPECT_EQ(Index::open(cluster.url(), Index::Mode::read, other).status().code(), StatusCode::version_mismatch);
  const FakeCluster damaged({{"GET /notes/_doc/wenqu-vocabulary", {http_answer(200, R"({"_source":{"text":"no"}})")}}});
  EXPECT_EQ(open(damaged, Index::Mode::read).status().code(), StatusCode::corrupt);
}

TEST(RemoteIndex, WhatAClusterThatHangsIsAskedEndsWhenItIsCancelled) {
  for (const bool refreshes : {true, false}) {
    CancelSource cancel;
    std::atomic<bool> opened = false;
    const FakeCluster cluster({}, [&](const std::string&) -> bool {
      if (opened) cancel.cancel();
      return opened;
    });
    const auto index = open(cluster, Index::Mode::read);
    ASSERT_TRUE(index) << index.status().to_string();
    opened = true;
    const Status status = refreshes ? (*index)->refresh(cancel.token()) : (*index)->weigh("x7", true, cancel.token()).status();
    EXPECT_EQ(status.code(), StatusCode::cancelled) << status.to_string();
  }
}

TEST(RemoteAnswers, OfWhichAnythingIsMissingAreErrorsAndNeverCrash) {
  const std::string whole =
      R"({"took":1,"timed_out":false,"_shards":{"total":1,"failed":0},"hits":{"total":{"value":3,"relation":"gte"},"hits":[)"
      R"({"_score":2.5,"_source":{"document_id":"文","source":"web","ordinal":2,"passages":3,"begin":1,"end":4,"text":"水边","hash":"h",)"
      R"("locator":["page",3],"attributes":[["a","b"]]}}]}})";
  const auto found = parse_hits(whole);
  ASSERT_TRUE(found) << found.status().to_string();
  EXPECT_EQ(found->hits[0].hit.passage.locator, (Locator{Locator::Kind::page, 3}));
  EXPECT_EQ(found->hits[0].hit.attributes.at("a"), "b");
  EXPECT_FALSE(found->total_is_exact);
  size_t errors = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto part = parse_hits(whole.substr(0, size));
    errors += part.status().code() == StatusCode::corrupt;
  }
  EXPECT_EQ(errors, whole.size());
  for (size_t place = 0; place < whole.size(); ++place)
    for (const char c : {'\0', '"', '{', '9', '\xff'}) {
      std::string damaged = whole;
      damaged[place] = c;
      (void)parse_hits(damaged).is_ok();
      (void)parse_statistics(damaged, 1, nullptr).is_ok();
      (void)parse_record(damaged).is_ok();
      (void)parse_bulk(damaged, 1).is_ok();
    }
}

TEST(RemoteAnswers, TellWhatAServerSaysInOneLine) {
  EXPECT_EQ(parse_reason(R"({"error":{"type":"t","reason":"a\nb"}})"), "t: a b");
  EXPECT_EQ(parse_reason(R"({"error":"plain"})"), "plain");
  EXPECT_EQ(parse_reason("<html>"), "");
  EXPECT_LE(parse_reason("{\"error\":\"" + std::string(5000, 'x') + "\"}").size(), 300u);
}

TEST(RemoteQuery, CarriesFiltersAsClausesThatDoNotScore) {
  PassageQuery query;
  query.clauses = {{TermField::unigram, "水", 0.5}, {TermField::word, "iphone 15", 1}};
  query.sources = {Source::web};
  query.filter.published_from = "2024-05-06";
  query.filter.attributes["k"] = {"v", "\"w"};
  query.filter.principals = std::vector<std::string>{"me"};
  query.size = 7;
  const auto body = passage_search(query);
  ASSERT_TRUE(body);
  EXPECT_EQ(
      *body,
      R"({"size":7,"track_total_hits":10000,"query":{"bool":{"should":[{"term":{"u":{"value":"水","boost":0.5}}},{"term":{"w":{"value":"iphone 15","boost":1.0}}}],"minimum_should_match":1,)"
      R"("filter":[{"term":{"kind":"passage"}},{"terms":{"source":["web"]}},{"range":{"time":{"gte":1714953600}}},)"
      R"({"terms":{"labels":["a1:kv","a1:k\"w"]}},)"
      R"({"bool":{"should":[{"bool":{"must_not":[{"term":{"labels":"q"}}]}},{"terms":{"labels":["pme"]}}],"minimum_should_match":1}}]}},)"
      R"("sort":[{"_score":"desc"},{"document_id":"asc"},{"ordinal":"asc"}]})");
  query.filter.published_until = "someday";
  EXPECT_EQ(passage_search(query).status().code(), StatusCode::invalid_argument);
}

TEST(RemoteQuery, AsksForTheNearestVectorsInTheFormOfEachProduct) {
  PassageQuery among;
  among.sources = {Source::web};
  among.size = 70;
  const std::vector<float> vector = {0.6f, -0.8f};
  const std::string filter = R"("filter":{"bool":{"filter":[{"term":{"kind":"passage"}},{"terms":{"source":["web"]}}]}})";
  EXPECT_EQ(*vector_search(vector, among, true),
            R"({"size":70,"track_total_hits":false,"query":{"knn":{"v":{"vector":[0.6,-0.8],"k":70,)" + filter + "}}}}");
  EXPECT_EQ(*vector_search(vector, among, false),
            R"({"size":70,"track_total_hits":false,"knn":{"field":"v","query_vector":[0.6,-0.8],"k":70,"num_candidates":140,)" + filter + "}}");
  among.filter.published_from = "someday";
  EXPECT_EQ(vector_search(vector, among, true).status().code(), StatusCode::invalid_argument);
}

TEST(RemoteQuery, FusesWhatWordsAndVectorsFoundAsALocalIndexDoes) {
  const auto hit = [](const char* id, uint32_t ordinal, double score) {
    RemoteHit found;
    found.hit.passage.document_id = id;
    found.hit.passage.ordinal = ordinal;
    found.hit.score = score;
    return found;
  };
  const auto fused = [&](const SearchRequest& request) {
    std::vector<std::string> names;
    for (const RemoteHit& found : fuse_remote({hit("a", 0, 9), hit("b", 1, 8), hit("c", 0, 7)}, {hit("d", 0, 0.5), hit("b", 2, 0.9), hit("c", 0, 0.7)}, request))
      names.push_back(found.hit.passage.document_id + std::to_string(found.hit.passage.ordinal));
    return names;
  };
  // c is second and third; a and b2 are first of a list each.
  EXPECT_EQ(fused({}), (std::vector<std::string>{"c0", "a0", "b2", "b1", "d0"}));
  // b, of which each list has a passage, is first and second then.
  EXPECT_EQ(fused({.one_per_document = true}), (std::vector<std::string>{"b1", "c0", "a0", "d0"}));
}

TEST(RemoteQuery, BoostsTermsSoThatTheClustersScoreBecomesOurs) {
  const std::vector<QuestionTerm> terms = search_terms(Analyzer().analyze_question("水边的图书馆 heron"));
  TermStatistics statistics;
  statistics.totals.passages = 1000;
  for (auto& field : statistics.totals.fields) field = {400, 50};
  std::vector<RemoteTerm> wanted;
  add_remote_terms(terms, wanted);
  for (size_t i = 0; i < wanted.size(); ++i) statistics.holders[wanted[i]] = 1 + 7 * i;
  const RankingParameters ranking;
  for (const bool with_k1 : {true, false}) {
    const std::vector<RemoteClause> clauses = weigh_clauses(terms, statistics, ranking, with_k1);
    ASSERT_GT(clauses.size(), 5u);
    for (const RemoteClause& clause : clauses) {
      const Bm25Parameters& of = bm25_parameters(ranking, clause.field);
      const uint64_t holders = statistics.holders_of({clause.field, clause.term});
      const double own = inverse_document_frequency(400, holders) * (with_k1 ? of.k1 + 1 : 1);
      EXPECT_NEAR(clause.boost * own, term_weight(of, 1000, holders), 1e-9) << clause.term;
    }
  }
}

TEST(RemoteQuery, OfVeryManyWordsAsksForTheWeightiest) {
  std::vector<Term> words;
  TermStatistics statistics;
  statistics.totals.passages = 100'000;
  for (auto& field : statistics.totals.fields) field = {100'000, 50};
  for (int i = 0; i < 3000; ++i) {
    words.push_back({"w" + std::to_string(i), Term::Kind::word, 0, {}});
    statistics.holders[{TermField::word, words.back().text}] = static_cast<uint64_t>(3000 - i);
  }
  const std::vector<RemoteClause> clauses = weigh_clauses(distinct_terms(words), statistics, {}, true);
  ASSERT_EQ(clauses.size(), 900u);
  EXPECT_EQ(clauses.front().term, "w2999");
}

TEST(RemoteLayout, KeepsTextAndTermsApart) {
  Document document = note("The herons 水边 stand.");
  document.title = "Herons";
  document.published_at = "2024-05-06";
  document.acl = {"me"};
  document.attributes[".a b."] = "c";
  std::vector<BulkItem> items;
  append_passages(document, split_passages(document), Analyzer(), {}, items);
  ASSERT_EQ(items.size(), 1u);
  const std::string& passage = items[0].lines;
  for (const char* part : {R"("text":"The herons 水边 stand.")", R"("tw":"heron")", R"("u":"水 边","lu":2)",
                           R"("b":"水边","lb":1)", R"("labels":["a5:.a b.c","pme","q"])", R"("time":1714953600)", R"("attributes":[[".a b.","c"]])"})
    EXPECT_THAT(passage, HasSubstr(part));
  EXPECT_THAT(record_of(document, 1).lines, HasSubstr(R"("acl":["me"])"));
  EXPECT_EQ(std::count(passage.begin(), passage.end(), '\n'), 2);
}

TEST(RemoteLayout, KeepsThePassagesThatAHostHasCut) {
  Document document = note("水边。山上。");
  document.passages = {{0, 3}, {3, 6}};
  document.marks = {{3, {Locator::Kind::page, 2}}};
  std::vector<BulkItem> items;
  append_passages(document, split_passages(document), Analyzer(), {}, items);
  ASSERT_EQ(items.size(), 2u);
  std::string record = record_of(document, 2).lines;
  record.erase(0, record.find('\n') + 1);
  const auto read = parse_record(R"({"_source":)" + record + "}");
  ASSERT_TRUE(read) << read.status().to_string();
  EXPECT_EQ(read->passages, document.passages);
  EXPECT_EQ(read->marks, document.marks);
  EXPECT_EQ(parse_record(R"({"_source":{"document_id":"d","source":"web","cuts":[0,"3"]}})").status().code(), StatusCode::corrupt);
}

TEST(RemoteCredentials, ComeFromAFileOrTheEnvironmentAndAreNotTold) {
  const Url url = *parse_url("https://me@host:9200/n");
  EXPECT_EQ(find_authorization(url, "").status().code(), StatusCode::invalid_argument);  // a user without a password
  {
    const Variable password("WENQU_REMOTE_PASSWORD", "pa ss:wörd");
    EXPECT_EQ(*find_authorization(url, ""), "Basic bWU6cGEgc3M6d8O2cmQ=");
    EXPECT_EQ(find_authorization(*parse_url("https://host/n"), "").status().code(), StatusCode::invalid_argument);
    const auto clear = find_authorization(*parse_url("http://me@example.com/n"), "");
    ASSERT_FALSE(clear);
    EXPECT_THAT(clear.status().to_string(), testing::AllOf(HasSubstr("https"), Not(HasSubstr("ss:w"))));
    EXPECT_TRUE(find_authorization(*parse_url("http://me@127.0.0.1/n"), ""));
    const Variable token("WENQU_REMOTE_TOKEN", "tok");
    EXPECT_EQ(*find_authorization(url, ""), "Bearer tok");
    const Variable key("WENQU_REMOTE_API_KEY", "key");
    EXPECT_EQ(*find_authorization(url, ""), "ApiKey key");
  }
  const std::string path = testing::TempDir() + "/credentials";
  for (const auto& [line, value] : {std::pair("ApiKey abc", "ApiKey abc"),
                                    {"Bearer x.y", "Bearer x.y"},
                                    {"ann:b\r", "Basic YW5uOmI="},
                                    {"secret", "Basic bWU6c2VjcmV0"}}) {
    std::ofstream(path) << line << "\n";
    EXPECT_EQ(*find_authorization(url, path), value);
  }
  std::ofstream(path) << "two words\n";
  const auto odd = find_authorization(url, path);
  ASSERT_FALSE(odd);
  EXPECT_THAT(odd.status().to_string(), Not(HasSubstr("two words")));
  EXPECT_EQ(find_authorization(url, "/nonexistent").status().code(), StatusCode::not_found);
  EXPECT_EQ(*find_authorization(*parse_url("https://host/n"), ""), "");
}

}  // namespace
}  // namespace wenqu::retrieval
