#include "retrieval/index.h"

#include <gmock/gmock.h>

#include <fstream>

#include "index_fixture.h"
#include "retrieval/store/crc32c.h"
#include "retrieval/store/manifest.h"

namespace wenqu::retrieval {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(IndexTest, FindsChineseAndEnglishDocuments) {
  auto index = open(Index::Mode::write);
  EXPECT_OK(index->add(make_document("ferry", "青石镇的渡口每天早上六点开第一班船。")));
  EXPECT_OK(index->add(make_document("library", "The library lends umbrellas on rainy days.")));
  EXPECT_OK(index->add(make_document("bakery", "面包店在河边，早上七点开门。")));
  EXPECT_OK(index->commit());
  EXPECT_THAT(ids(find(*index, "渡口第一班船几点开？"))[0], "ferry");
  EXPECT_THAT(ids(find(*index, "Who lends an umbrella?")), ElementsAre("library"));
  EXPECT_THAT(ids(find(*index, "天文望远镜")), testing::Not(testing::Contains("library")));
}

TEST_F(IndexTest, HitsCarryAllThatACitationNeeds) {
  Document document = make_document("a/1", "望江楼建于明代。", "望江楼的历史", Source::official_account);
  document.url = "https://example.org/a?b=1&c=2";
  document.author = "文物科";
  document.published_at = "2024-05-06";
  document.attributes = {{"account", "青石发布"}, {"空", ""}};
  auto index = open(Index::Mode::write);
  EXPECT_OK(index->add(document));
  EXPECT_OK(index->commit());

  const SearchResponse response = find(*index, "望江楼");
  ASSERT_EQ(response.hits.size(), 1u);
  const Hit& hit = response.hits[0];
  EXPECT_EQ(hit.passage.document_id, "a/1");
  EXPECT_EQ(hit.passage.ordinal, 0u);
  EXPECT_EQ(hit.passage.range, (CharRange{0, 8}));
  EXPECT_EQ(hit.passage.text, document.text);
  EXPECT_FALSE(hit.passage.hash.empty());
  EXPECT_EQ(hit.title, document.title);
  EXPECT_EQ(hit.url, document.url);
  EXPECT_EQ(hit.source, document.source);
  EXPECT_EQ(hit.author, document.author);
  EXPECT_EQ(hit.published_at, document.published_at);
  EXPECT_EQ(hit.attributes, document.attributes);

  const auto fetched = index->fetch("a/1");
  ASSERT_TRUE(fetched);
  EXPECT_EQ(fetched->text, document.text);
  EXPECT_EQ(fetched->attributes, document.attributes);
  EXPECT_EQ(index->fetch("a/2").status().code(), StatusCode::not_found);
}

TEST_F(IndexTest, ChangesAreSeenAtTheCommitAndNotBefore) {
  auto index = open(Index::Mode::write);
  EXPECT_OK(index->add(make_document("d", "old words")));
  EXPECT_THAT(find(*index, "words").hits, IsEmpty());
  EXPECT_OK(index->commit());
  EXPECT_OK(index->add(make_document("d", "new phrases")));
  EXPECT_OK(index->add(make_document("e", "more phrases")));
  EXPECT_THAT(ids(find(*index, "words")), ElementsAre("d"));
  EXPECT_OK(index->commit());
  EXPECT_THAT(find(*index, "words").hits, IsEmpty());
  EXPECT_EQ(find(*index, "phrases").hits.size(), 2u);
  EXPECT_OK(index->remove("d"));
  EXPECT_OK(index->remove("never there"));
  EXPECT_OK(index->commit());
  EXPECT_THAT(ids(find(*index, "phrases")), ElementsAre("e"));
  EXPECT_EQ(index->stats().documents, 1u);
}

TEST_F(IndexTest, AnotherReaderSeesACommitAfterRefresh) {
  auto writer = open(Index::Mode::write);
  EXPECT_OK(writer->commit());
  auto reader = open(Index::Mode::read);
  EXPECT_THAT(find(*reader, "lantern").hits, IsEmpty());
  EXPECT_OK(writer->add(make_document("d", "a lantern")));
  EXPECT_OK(writer->commit());
  EXPECT_THAT(find(*reader, "lantern").hits, IsEmpty());
  EXPECT_OK(reader->refresh());
  EXPECT_THAT(ids(find(*reader, "lantern")), ElementsAre("d"));
  // The reader's commit outlives the writer's clean-up.
  for (int i = 0; i < 5; ++i) {
    EXPECT_OK(writer->add(make_document("d", "a lamp")));
    EXPECT_OK(writer->commit());
  }
  EXPECT_THAT(ids(find(*reader, "lantern")), ElementsAre("d"));
  EXPECT_EQ(reader->fetch("d")->text, "a lantern");
}

TEST_F(IndexTest, ACommitWithoutChangesIsNoNewCommit) {
  auto index = open(Index::Mode::write);
  EXPECT_OK(index->commit());
  EXPECT_EQ(index->stats().commit, 1u);
  EXPECT_OK(index->commit());
  EXPECT_OK(index->remove("nothing"));
  EXPECT_OK(index->commit());
  EXPECT_EQ(index->stats().commit, 1u);
}

TEST_F(IndexTest, AnIndexNeverCommittedIsNotFoundByReaders) {
  const auto missing = Index::open(directory_, Index::Mode::read);
  EXPECT_EQ(missing.status().code(), StatusCode::not_found);
  auto writer = open(Index::Mode::write);
  EXPECT_OK(writer->add(make_document("d", "text")));
  const auto early = Index::open(directory_, Index::Mode::read);
  EXPECT_EQ(early.status().code(), StatusCode::not_found);
  EXPECT_THAT(early.status().message(), HasSubstr("committed"));
  EXPECT_THAT(find(*writer, "text").hits, IsEmpty());
  EXPECT_EQ(writer->fetch("d").status().code(), StatusCode::not_found);
}

TEST_F(IndexTest, UncommittedDocumentsVanishWithTheWriter) {
  {
    auto index = open(Index::Mode::write);
    EXPECT_OK(index->add(make_document("kept", "apple")));
    EXPECT_OK(index->commit());
    EXPECT_OK(index->add(make_document("lost", "apple")));
  }
  EXPECT_THAT(ids(find(*open(Index::Mode::write), "apple")), ElementsAre("kept"));
}

TEST_F(IndexTest, RefusesUnusableDocumentsAndQueries) {
  auto index = open(Index::Mode::write);
  EXPECT_EQ(index->add(make_document("", "x")).code(), StatusCode::invalid_argument);
  EXPECT_EQ(index->add(make_document(std::string(513, 'i'), "x")).code(), StatusCode::invalid_argument);
  EXPECT_EQ(index->add(make_document("big", std::string((64u << 20) + 1, ' '))).code(),
            StatusCode::limit_exceeded);
  EXPECT_OK(index->add(make_document("d", "x y")));
  EXPECT_OK(index->commit());

  SearchRequest request;
  EXPECT_EQ(index->search(request, CancelToken()).status().code(), StatusCode::invalid_argument);
  request.query = "x";
  request.top = 0;
  EXPECT_EQ(index->search(request, CancelToken()).status().code(), StatusCode::invalid_argument);
  request.top = 10'001;
  EXPECT_EQ(index->search(request, CancelToken()).status().code(), StatusCode::invalid_argument);
  request.top = 10;
  request.query = std::string(64 * 1024 + 1, 'x');
  EXPECT_EQ(index->search(request, CancelToken()).status().code(), StatusCode::limit_exceeded);
  EXPECT_THAT(find(*index, " ?!。").hits, IsEmpty());

  CancelSource source;
  source.cancel();
  request.query = "x";
  EXPECT_EQ(index->search(request, source.token()).status().code(), StatusCode::cancelled);

  auto reader = open(Index::Mode::read);
  EXPECT_EQ(reader->add(make_document("d", "x")).code(), StatusCode::unsupported);
  EXPECT_EQ(reader->remove("d").code(), StatusCode::unsupported);
  EXPECT_EQ(reader->commit().code(), StatusCode::unsupported);
}

TEST_F(IndexTest, RefusesMembersThatAreTooLargeAndNamesThem) {
  const auto index = open(Index::Mode::write);
  const auto add = [&](auto&& change) {
    Document document = make_document("d", "the heron waits");
    change(document);
    return index->add(document);
  };
  const auto expect_refused = [&](const char* member, auto&& change) {
    const Status added = add(change);
    EXPECT_EQ(added.code(), StatusCode::limit_exceeded) << member;
    EXPECT_NE(added.message().find("`" + std::string(member) + "`"), std::string::npos) << added.to_string();
  };
  const auto fill = [](Document& document, size_t more) {
    document.url = std::string(kMaxUrlBytes, 'u');
    document.author = std::string(kMaxAuthorBytes, 'a');
    for (size_t i = 0; i < kMaxAttributes - 2; ++i) document.attributes[std::to_string(i)] = "";
    size_t names = kMaxAttributeNameBytes + 1;
    for (const auto& [name, value] : document.attributes) names += name.size();
    document.attributes[std::string(kMaxAttributeNameBytes, 'n')] = "";
    document.attributes["v"] = std::string(kMaxAttributesBytes - names + more, 'v');
    for (size_t i = 0; i < kMaxAclEntries; ++i) document.acl.push_back("user" + std::to_string(i));
  };
  EXPECT_OK(add([&](Document& document) { fill(document, 0); }));
  expect_refused("attributes", [&](Document& document) { fill(document, 1); });
  expect_refused("url", [](Document& document) { document.url = std::string(kMaxUrlBytes + 1, 'u'); });
  expect_refused("author", [](Document& document) { document.author = std::string(kMaxAuthorBytes + 1, 'a'); });
  expect_refused("attributes", [](Document& document) { document.attributes[std::string(kMaxAttributeNameBytes + 1, 'n')] = "x"; });
  expect_refused("attributes", [](Document& document) {
    for (size_t i = 0; i <= kMaxAttributes; ++i) document.attributes[std::to_string(i)] = "x";
  });
  expect_refused("acl", [](Document& document) { document.acl.assign(kMaxAclEntries + 1, "ann"); });
  EXPECT_OK(index->commit());
  EXPECT_EQ(index->fetch("d")->acl.size(), kMaxAclEntries);
}

TEST_F(IndexTest, KeepsAnyTextThatUtf8CanHold) {
  const std::string nul("a\0b", 3);
  const std::vector<std::string> strange = {nul, "\xEF\xBF\xBF" "end", "\xEF\xBF\xBE", "\xF4\x8F\xBF\xBF",
                                            "😀 emoji", "\xED\xA0\x80 surrogate", "cut \xE4\xBD"};
  auto index = open(Index::Mode::write);
  for (const std::string& text : strange)
    EXPECT_OK(index->add(make_document("id " + text, text + " marker", text)));
  EXPECT_OK(index->commit());
  EXPECT_EQ(index->stats().documents, strange.size());
  EXPECT_EQ(find(*index, "marker").hits.size(), strange.size());
  for (const std::string& text : strange) EXPECT_TRUE(index->fetch("id " + text)) << text;
  EXPECT_EQ(index->fetch("id " + nul)->text, nul + " marker");
  EXPECT_EQ(index->fetch("id \xEF\xBF\xBF" "end")->text, "\xEF\xBF\xBF" "end marker");
  // Only ill-formed bytes are replaced.
  EXPECT_EQ(index->fetch("id cut \xE4\xBD")->text, "cut \xEF\xBF\xBD marker");
}

TEST_F(IndexTest, PassagesThatAHostHasCutAreFoundAndComeBackAsTheyWere) {
  Document document = make_document("a", "水边的白鹭。山上的灯塔。");
  document.passages = {{0, 6}, {6, 12}};
  document.marks = {{6, {Locator::Kind::page, 2}}};
  {
    auto index = open(Index::Mode::write);
    EXPECT_OK(index->add(document));
    EXPECT_OK(index->add(make_document("b", "石桥")));
    EXPECT_OK(index->commit());
    Document wrong = document;
    for (const std::vector<CharRange>& passages : {std::vector<CharRange>{{0, 13}}, {{3, 3}}, {{5, 4}}, {{0, 6}, {5, 12}}}) {
      wrong.passages = passages;
      EXPECT_EQ(index->add(wrong).code(), StatusCode::invalid_argument);
    }
  }
  const auto index = open(Index::Mode::read);
  const SearchResponse response = find(*index, "灯塔");
  ASSERT_EQ(response.hits.size(), 1u);
  EXPECT_EQ(response.hits[0].passage.text, "山上的灯塔。");
  EXPECT_EQ(response.hits[0].passage.range, (CharRange{6, 12}));
  const auto fetched = index->fetch("a");
  ASSERT_TRUE(fetched);
  EXPECT_EQ(fetched->passages, document.passages);
  EXPECT_EQ(fetched->marks, document.marks);
  EXPECT_TRUE(index->fetch("b")->passages.empty());
}

TEST_F(IndexTest, KeepsOnlyTheSourcesThatAreAsked) {
  auto index = open(Index::Mode::write);
  EXPECT_OK(index->add(make_document("chat", "lantern festival", "", Source::chat)));
  EXPECT_OK(index->add(make_document("video", "lantern festival", "", Source::video)));
  EXPECT_OK(index->add(make_document("file", "lantern festival", "", Source::file)));
  EXPECT_OK(index->commit());
  SearchRequest request;
  request.query = "lantern";
  request.sources = {Source::file, Source::chat};
  const auto response = index->search(request, CancelToken());
  ASSERT_TRUE(response);
  EXPECT_THAT(ids(*response), ElementsAre("chat", "file"));
  EXPECT_EQ(response->total, 2u);
}

TEST_F(IndexTest, TiesAreInTheOrderOfIdsThenOrdinals) {
  auto index = open(Index::Mode::write);
  for (const char* id : {"c", "é", "a", "d", "文", "b"}) {
    EXPECT_OK(index->add(make_document(id, "same words")));
    EXPECT_OK(index->commit());
  }
  EXPECT_THAT(ids(find(*index, "same words")), ElementsAre("a", "b", "c", "d", "é", "文"));
  EXPECT_THAT(ids(find(*index, "same words", 3)), ElementsAre("a", "b", "c"));
  EXPECT_EQ(find(*index, "same words", 3).total, 6u);
}

TEST_F(IndexTest, OnePerDocumentKeepsTheBestPassageOfEach) {
  std::string filler;
  for (int i = 0; i < 60; ++i) filler += "Nothing of interest is told in this sentence. ";
  auto index = open(Index::Mode::write);
  EXPECT_OK(index->add(make_document("long", "A heron stood here. " + filler + "A heron and a heron. " + filler)));
  EXPECT_OK(index->add(make_document("short", "The heron flew away.")));
  EXPECT_OK(index->commit());
  EXPECT_GE(find(*index, "heron").hits.size(), 3u);
  SearchRequest request;
  request.query = "heron";
  request.one_per_document = true;
  const auto response = index->search(request, CancelToken());
  ASSERT_TRUE(response);
  EXPECT_THAT(ids(*response), testing::UnorderedElementsAre("long", "short"));
}

TEST_F(IndexTest, ADocumentWithOnlyATitleIsFoundByIt) {
  auto index = open(Index::Mode::write);
  EXPECT_OK(index->add(make_document("v", "", "龙舟比赛全程回放", Source::video)));
  EXPECT_OK(index->commit());
  EXPECT_THAT(ids(find(*index, "龙舟比赛")), ElementsAre("v"));
}

TEST_F(IndexTest, WeighsRareTermsAboveCommonOnes) {
  auto index = open(Index::Mode::write);
  for (int i = 0; i < 20; ++i)
    EXPECT_OK(index->add(make_document(std::to_string(i), i == 7 ? "river heron" : "river bank")));
  EXPECT_OK(index->commit());
  const auto terms = index->weigh("the heron, the river, the volcano", true);
  ASSERT_TRUE(terms);
  ASSERT_EQ(terms->size(), 3u);
  EXPECT_EQ((*terms)[0].text, "heron");
  EXPECT_EQ((*terms)[0].passages, 1u);
  EXPECT_EQ((*terms)[0].range, (CharRange{4, 9}));
  EXPECT_EQ((*terms)[1].passages, 20u);
  EXPECT_EQ((*terms)[2].passages, 0u);
  EXPECT_GT((*terms)[2].weight, (*terms)[0].weight);
  EXPECT_GT((*terms)[0].weight, (*terms)[1].weight);
}

TEST_F(IndexTest, ASecondWriterIsToldWhoHoldsTheIndex) {
  auto first = open(Index::Mode::write);
  const auto second = Index::open(directory_, Index::Mode::write);
  EXPECT_EQ(second.status().code(), StatusCode::busy);
  EXPECT_THAT(second.status().message(), HasSubstr(std::to_string(getpid())));
  first.reset();
  EXPECT_TRUE(Index::open(directory_, Index::Mode::write));
}

TEST_F(IndexTest, AnotherVersionHasToBeBuiltAgain) {
  EXPECT_OK(open(Index::Mode::write)->commit());
  const IndexPaths paths(directory_);
  for (const std::string line : {"wenqu-index 2\nanalysis 1\n", "wenqu-index 1\nanalysis 99\n"}) {
    const std::string body = line + "commit 1\n";
    char trailer[32];
    std::snprintf(trailer, sizeof trailer, "crc32c %08x\n", crc32c(body));
    std::ofstream(paths.manifest) << body << trailer;
    for (const auto mode : {Index::Mode::read, Index::Mode::write}) {
      const auto index = Index::open(directory_, mode);
      EXPECT_EQ(index.status().code(), StatusCode::version_mismatch);
      EXPECT_THAT(index.status().message(), HasSubstr("index the documents again"));
    }
  }
}

TEST_F(IndexTest, ReadsAFolderItMayNotWrite) {
  auto writer = open(Index::Mode::write);
  EXPECT_OK(writer->add(make_document("d", "lantern")));
  EXPECT_OK(writer->commit());
  writer.reset();
  namespace fs = std::filesystem;
  const auto no_writing = fs::perms::owner_read | fs::perms::owner_exec;
  fs::permissions(directory_ + "/lucene", no_writing);
  fs::permissions(directory_, no_writing);
  EXPECT_THAT(ids(find(*open(Index::Mode::read), "lantern")), ElementsAre("d"));
  if (geteuid() != 0) {
    EXPECT_EQ(Index::open(directory_, Index::Mode::write).status().code(), StatusCode::io_error);
  }
  fs::permissions(directory_, fs::perms::owner_all);
  fs::permissions(directory_ + "/lucene", fs::perms::owner_all);
}

TEST_F(IndexTest, ManySmallCommitsStayFewFiles) {
  IndexOptions options;
  options.own_threads = false;   // merges before commit() returns
  auto index = *Index::open(directory_, Index::Mode::write, options);
  for (int i = 0; i < 120; ++i) {
    EXPECT_OK(index->add(make_document("doc " + std::to_string(i), "lantern number " + std::to_string(i))));
    EXPECT_OK(index->commit());
  }
  EXPECT_EQ(find(*index, "lantern", 1000).hits.size(), 120u);
  EXPECT_GE(index->stats().commit, 120u);
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/lucene")) files += entry.is_regular_file();
  EXPECT_LT(files, 60u);
}

}  // namespace
}  // namespace wenqu::retrieval
