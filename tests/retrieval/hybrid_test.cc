#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "index_fixture.h"
#include "retrieval/hybrid/fusion.h"
#include "retrieval/index_backup.h"
#include "retrieval/index_check.h"
#include "retrieval/index_migrate.h"
#include "retrieval/store/file_probe.h"
#include "retrieval/store/manifest.h"
#include "toy_models.h"

namespace wenqu::retrieval {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class HybridTest : public IndexTest {
 protected:
  void TearDown() override {
    set_file_fault_for_testing(nullptr);
    IndexTest::TearDown();
  }
  IndexModels models() const { return {.embedding = toy_embedding(model_)}; }
  std::unique_ptr<Index> open_dense(Index::Mode mode) {
    auto index = Index::open(directory_, mode, {.models = models()});
    EXPECT_TRUE(index) << index.status().to_string();
    return index ? std::move(*index) : nullptr;
  }
  void write_some() {
    const auto index = open_dense(Index::Mode::write);
    EXPECT_OK(index->add(make_document("garage", "The automobile stands in the garage.")));
    EXPECT_OK(index->add(make_document("surgery", "A physician sees patients on Monday.", "", Source::file)));
    EXPECT_OK(index->add(make_document("bridge", "The stone bridge was built by hand.")));
    EXPECT_OK(index->commit());
  }
  static SearchResponse search(const Index& index, SearchRequest request) {
    auto response = index.search(request, CancelToken());
    EXPECT_TRUE(response) << response.status().to_string();
    return response ? *response : SearchResponse();
  }
  std::vector<std::string> vector_files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(IndexPaths(directory_).vectors)) names.push_back(entry.path());
    std::sort(names.begin(), names.end());
    return names;
  }
  static void damage(const std::string& path) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    ASSERT_TRUE(file) << path;
    file.seekp(30);
    file.put('\x5a');
  }

  const std::shared_ptr<ToyModel> model_ = std::make_shared<ToyModel>();
};

TEST_F(HybridTest, FindsByMeaningWhatWordsMiss) {
  write_some();
  const auto index = open_dense(Index::Mode::read);
  ASSERT_TRUE(index);
  EXPECT_EQ(index->stats().vectors, 3u);
  const SearchResponse by_words = search(*index, {.query = "medic", .hybrid = {.dense = HybridOptions::Use::never}});
  EXPECT_TRUE(by_words.hits.empty());
  EXPECT_FALSE(by_words.dense);
  const SearchResponse both = search(*index, {.query = "medic"});
  ASSERT_FALSE(both.hits.empty());
  EXPECT_TRUE(both.dense);
  EXPECT_EQ(both.hits[0].passage.document_id, "surgery");
  EXPECT_EQ(search(*index, {.query = "轿车"}).hits.at(0).passage.document_id, "garage");
}

TEST_F(HybridTest, PutsAboveAllWhatBothFind) {
  write_some();
  const auto index = open_dense(Index::Mode::read);
  for (const auto fusion : {HybridOptions::Fusion::ranks, HybridOptions::Fusion::scores}) {
    const SearchResponse found = search(*index, {.query = "stone bridge", .hybrid = {.fusion = fusion}});
    ASSERT_FALSE(found.hits.empty());
    EXPECT_EQ(found.hits[0].passage.document_id, "bridge");
  }
}

TEST_F(HybridTest, FindsNothingOfSourcesThatAreNotWanted) {
  write_some();
  const auto index = open_dense(Index::Mode::read);
  const SearchResponse found = search(*index, {.query = "medic automobile", .top = 2, .sources = {Source::file}, .hybrid = {.candidates = 1}});
  EXPECT_THAT(ids(found), ElementsAre("surgery"));
}

TEST_F(HybridTest, FindsTheFewThatAreWantedAmongManyThatAreNot) {
  {
    const auto index = open_dense(Index::Mode::write);
    for (int i = 0; i < 300; ++i)
      EXPECT_OK(index->add(make_document("w" + std::to_string(i), "A physician sees patient number " + std::to_string(i), "", Source::web)));
    EXPECT_OK(index->add(make_document("far", "Nothing of that kind.", "", Source::chat)));
    EXPECT_OK(index->add(make_document("near", "The doctor.", "", Source::chat)));
    EXPECT_OK(index->commit());
  }
  const auto index = open_dense(Index::Mode::read);
  for (int round = 0; round < 2; ++round)   // the second from what the first one kept
    EXPECT_THAT(ids(search(*index, {.query = "medic", .top = 2, .sources = {Source::chat}, .hybrid = {.candidates = 2}})),
                ElementsAre("near", "far"));
}

TEST_F(HybridTest, WorksWithoutAnyModel) {
  write_some();
  const auto index = open(Index::Mode::read);
  EXPECT_THAT(ids(find(*index, "stone")), ElementsAre("bridge"));
  const auto insisted = index->search({.query = "stone", .hybrid = {.dense = HybridOptions::Use::required}}, {});
  EXPECT_EQ(insisted.status().code(), StatusCode::unsupported);
}

TEST_F(HybridTest, RefusesOptionsOutOfRange) {
  write_some();
  const auto index = open_dense(Index::Mode::read);
  for (const HybridOptions& options : {HybridOptions{.dense_weight = 1.5}, HybridOptions{.dense_weight = -0.1}, HybridOptions{.candidates = 0},
                                       HybridOptions{.candidates = 100'000}, HybridOptions{.reranked = 0}})
    EXPECT_EQ(index->search({.query = "stone", .hybrid = options}, {}).status().code(), StatusCode::invalid_argument);
}

TEST_F(HybridTest, EmbedsAPassageOnceHoweverOftenItsDocumentIsAdded) {
  write_some();
  EXPECT_EQ(model_->passages, 3u);
  const auto index = open_dense(Index::Mode::write);
  EXPECT_OK(index->add(make_document("bridge", "The stone bridge was built by hand.")));
  EXPECT_OK(index->add(make_document("copy", "The stone bridge was built by hand.")));
  EXPECT_OK(index->commit());
  EXPECT_EQ(model_->passages, 3u);
  EXPECT_EQ(index->stats().vectors, 4u);
  EXPECT_OK(index->add(make_document("bridge", "Now of iron.")));
  EXPECT_OK(index->commit());
  EXPECT_EQ(model_->passages, 4u);
}

TEST_F(HybridTest, MakesOneGraphOfAllVectorsWhenItIsOptimized) {
  write_some();
  const auto index = open_dense(Index::Mode::write);
  EXPECT_OK(index->add(make_document("street", "A car in the street.")));
  EXPECT_OK(index->commit());
  EXPECT_OK(index->remove("bridge"));
  EXPECT_OK(index->commit());
  const auto segments = [&] { return read_manifest(IndexPaths(directory_).manifest)->vectors.size() - 1; };   // beside the set
  EXPECT_EQ(segments(), 2u);
  const auto before = ids(search(*index, {.query = "vehicle", .hybrid = {.dense_weight = 1}}));
  EXPECT_OK(index->optimize({}));
  EXPECT_EQ(segments(), 1u);
  EXPECT_EQ(index->stats().vectors, 3u);
  EXPECT_EQ(ids(search(*index, {.query = "vehicle", .hybrid = {.dense_weight = 1}})), before);
  EXPECT_EQ(model_->passages, 4u);   // none was embedded again
  const uint64_t commit = index->stats().commit;
  EXPECT_OK(index->optimize({}));
  EXPECT_EQ(index->stats().commit, commit);
}

TEST_F(HybridTest, ForgetsWhatIsRemovedOrReplaced) {
  write_some();
  const auto index = open_dense(Index::Mode::write);
  EXPECT_OK(index->remove("surgery"));
  EXPECT_OK(index->add(make_document("garage", "Empty by now.")));
  // What is not committed is not seen.
  EXPECT_EQ(search(*index, {.query = "medic", .top = 1}).hits.at(0).passage.document_id, "surgery");
  EXPECT_OK(index->commit());
  for (const Hit& hit : search(*index, {.query = "medic vehicle"}).hits) {
    EXPECT_NE(hit.passage.document_id, "surgery");
    EXPECT_NE(hit.passage.text, "The automobile stands in the garage.");
  }
  EXPECT_EQ(index->stats().vectors, 2u);
  const auto check = check_index(directory_, CancelToken());
  ASSERT_TRUE(check);
  EXPECT_TRUE(check->newest.whole());
  EXPECT_EQ(check->newest.vectors, 2u);
}

TEST_F(HybridTest, MakesTheVectorsThatAnIndexLacks) {
  {
    const auto index = open(Index::Mode::write);
    EXPECT_OK(index->add(make_document("surgery", "A physician sees patients.", "Hours")));
    EXPECT_OK(index->commit());
  }
  {
    const auto index = open_dense(Index::Mode::write);
    EXPECT_OK(index->commit());
    EXPECT_EQ(search(*index, {.query = "medic"}).hits.at(0).passage.document_id, "surgery");
  }
  {
    // A writer without a model leaves the vectors behind.
    const auto index = open(Index::Mode::write);
    EXPECT_OK(index->add(make_document("garage", "The automobile is here.")));
    EXPECT_OK(index->add(make_document("surgery", "Closed.", "Hours")));
    EXPECT_OK(index->commit());
  }
  {
    const auto reader = open_dense(Index::Mode::read);
    for (const Hit& hit : search(*reader, {.query = "medic"}).hits) EXPECT_NE(hit.passage.text, "A physician sees patients.");
  }
  const auto index = open_dense(Index::Mode::write);
  EXPECT_OK(index->commit());
  EXPECT_EQ(index->stats().vectors, 2u);
  EXPECT_EQ(search(*index, {.query = "vehicle"}).hits.at(0).passage.document_id, "garage");
}

TEST_F(HybridTest, RefusesVectorsOfAnotherModelUnlessAllAreMadeAnew) {
  write_some();
  IndexModels other{.embedding = toy_embedding(model_, "another")};
  EXPECT_EQ(Index::open(directory_, Index::Mode::read, {.models = other}).status().code(), StatusCode::version_mismatch);
  EXPECT_EQ(Index::open(directory_, Index::Mode::write, {.models = other}).status().code(), StatusCode::version_mismatch);
  other.embed_again = true;
  {
    auto index = Index::open(directory_, Index::Mode::write, {.models = other});
    ASSERT_TRUE(index) << index.status().to_string();
    EXPECT_OK((*index)->commit());
    EXPECT_EQ(model_->passages, 6u);
  }
  EXPECT_TRUE(Index::open(directory_, Index::Mode::read, {.models = other}));
  EXPECT_FALSE(Index::open(directory_, Index::Mode::read, {.models = models()}));
}

TEST_F(HybridTest, FailsACommitWhoseModelFailsAndGoesOnAfterIt) {
  write_some();
  const auto index = open_dense(Index::Mode::write);
  model_->fails = true;
  EXPECT_OK(index->add(make_document("new", "A medic on a train.")));
  EXPECT_EQ(index->commit().code(), StatusCode::io_error);
  EXPECT_EQ(index->search({.query = "medic"}, {}).status().code(), StatusCode::io_error);
  model_->fails = false;
  EXPECT_EQ(search(*index, {.query = "medic"}).hits.at(0).passage.document_id, "surgery");
  EXPECT_OK(index->add(make_document("new", "A medic on a train.")));
  EXPECT_OK(index->commit());
  EXPECT_EQ(index->stats().vectors, 4u);
}

TEST_F(HybridTest, AModelThatFailsInAnAddLosesThatDocumentAlone) {
  const auto index = open_dense(Index::Mode::write);
  EXPECT_OK(index->add(make_document("old", "Stone number zero.")));
  EXPECT_OK(index->commit());
  const auto add = [&](int i) { return index->add(make_document("d" + std::to_string(i), "Stone number " + std::to_string(i))); };
  for (int i = 0; i < 31; ++i) EXPECT_OK(add(i));   // they wait until there are 32 texts
  model_->fails = true;
  const Status refused = add(31);
  EXPECT_EQ(refused.code(), StatusCode::io_error);
  EXPECT_THAT(refused.where(), HasSubstr("d0 to d31"));
  EXPECT_EQ(index->add(make_document("old", "A heron.")).code(), StatusCode::io_error);
  EXPECT_EQ(index->commit().code(), StatusCode::io_error);
  model_->fails = false;
  for (int i = 32; i < 40; ++i) EXPECT_OK(add(i));
  EXPECT_OK(index->commit());
  EXPECT_FALSE(index->fetch("d31"));
  EXPECT_EQ(index->fetch("old")->text, "Stone number zero.");
  EXPECT_EQ(index->stats().documents, 40u);
  EXPECT_EQ(index->stats().vectors, 40u);
  EXPECT_EQ(open_dense(Index::Mode::read)->stats().vectors, 40u);
}

TEST_F(HybridTest, ATextThatTheModelAlwaysRefusesGoesWithItsDocument) {
  EmbeddingModel wary = toy_embedding(model_);
  wary.embed = [embed = wary.embed](std::span<const std::string> texts, TextRole role, const CancelToken& cancel) -> Result<std::vector<float>> {
    for (const std::string& text : texts)
      if (text.find("poison") != std::string::npos) return Status(StatusCode::cancelled, "refused");
    return embed(texts, role, cancel);
  };
  const auto index = *Index::open(directory_, Index::Mode::write, {.models = {.embedding = wary}});
  EXPECT_OK(index->add(make_document("good", "A heron.")));
  EXPECT_OK(index->add(make_document("bad", "A poison.")));
  EXPECT_OK(index->add(make_document("twin", "A poison.")));
  for (int round = 0; round < 2; ++round) {
    const Status refused = index->commit();
    EXPECT_EQ(refused.code(), StatusCode::cancelled);
    EXPECT_THAT(refused.where(), HasSubstr("good to bad"));
  }
  EXPECT_OK(index->remove("bad"));
  EXPECT_EQ(index->commit().code(), StatusCode::cancelled) << "another document has the text";
  EXPECT_OK(index->add(make_document("twin", "An otter.")));
  EXPECT_OK(index->commit());
  EXPECT_EQ(index->stats().documents, 2u);
  EXPECT_EQ(index->stats().vectors, 2u);
}

TEST_F(HybridTest, CatchesUpWholeOrNotAtAllWhenTheModelFailsMeanwhile) {
  constexpr int kDocuments = 300;
  {
    const auto index = open(Index::Mode::write);
    for (int i = 0; i < kDocuments; ++i) EXPECT_OK(index->add(make_document("d" + std::to_string(i), "Stone number " + std::to_string(i))));
    EXPECT_OK(index->commit());
  }
  const auto index = open_dense(Index::Mode::write);
  model_->fails = true;
  EXPECT_EQ(index->commit().code(), StatusCode::io_error);
  for (int round = 0; round < 2; ++round) EXPECT_EQ(index->commit().code(), StatusCode::io_error) << "what is lacking stays";
  model_->fails = false;
  EXPECT_OK(index->add(make_document("new", "A heron.")));
  EXPECT_OK(index->commit());
  EXPECT_EQ(index->stats().vectors, kDocuments + 1u);
}

TEST_F(HybridTest, TellsOfDamagedVectorsAndSearchesByWordsAfterRepair) {
  write_some();
  for (const std::string& file : vector_files()) damage(file);
  const auto refused = Index::open(directory_, Index::Mode::read, {.models = models()});
  EXPECT_EQ(refused.status().code(), StatusCode::corrupt);
  EXPECT_THAT(refused.status().message(), HasSubstr("check --repair"));
  EXPECT_THAT(ids(find(*open(Index::Mode::read), "stone")), ElementsAre("bridge"));
  const auto check = check_index(directory_, CancelToken());
  ASSERT_TRUE(check);
  EXPECT_FALSE(check->newest.whole());
  EXPECT_TRUE(check->newest.damage.empty());
  EXPECT_EQ(check->newest.vector_damage.size(), 2u);
  EXPECT_OK(repair_index(directory_, CancelToken()).status());
  EXPECT_TRUE(check_index(directory_, CancelToken())->newest.whole());
  {
    const auto index = open_dense(Index::Mode::read);
    EXPECT_THAT(ids(search(*index, {.query = "stone"})), ElementsAre("bridge"));
  }
  const auto index = open_dense(Index::Mode::write);
  EXPECT_OK(index->commit());
  EXPECT_EQ(search(*index, {.query = "medic"}).hits.at(0).passage.document_id, "surgery");
}

TEST_F(HybridTest, KeepsTheLastCommitWhicheverFileOperationFails) {
  write_some();
  size_t failures = 0;
  for (size_t fail_at = 1; fail_at < 400; ++fail_at) {
    {
      const auto index = open_dense(Index::Mode::write);
      ASSERT_TRUE(index);
      size_t operations = 0;
      set_file_fault_for_testing([&](FileOperation, const std::string&) { return ++operations == fail_at ? EIO : 0; });
      const Status added = index->add(make_document("n" + std::to_string(fail_at), "A medic was here " + std::to_string(fail_at)));
      const Status committed = added ? index->commit() : added;
      set_file_fault_for_testing(nullptr);
      if (committed && operations < fail_at) break;
      failures += !committed;
    }
    const auto check = check_index(directory_, CancelToken());
    ASSERT_TRUE(check) << check.status().to_string();
    ASSERT_TRUE(check->newest.whole()) << fail_at;
    ASSERT_EQ(check->newest.vectors, check->newest.passages) << fail_at;
  }
  EXPECT_GT(failures, 10u);
}

TEST_F(HybridTest, CommitsThatFailLeaveNoFilesThatFillTheDisk) {
  write_some();
  const std::vector<std::string> before = vector_files();
  const auto index = open_dense(Index::Mode::write);
  EXPECT_OK(index->add(make_document("new", "A medic on a train.")));
  const IndexPaths paths(directory_);
  set_file_fault_for_testing([&](FileOperation operation, const std::string& path) {
    return operation == FileOperation::write && path.ends_with(".set") ? ENOSPC : 0;
  });
  for (int round = 0; round < 3; ++round) EXPECT_FALSE(index->commit());
  EXPECT_EQ(vector_files(), before);
  set_file_fault_for_testing([&](FileOperation operation, const std::string& path) {
    return operation == FileOperation::sync_directory && path == paths.lucene ? EIO : 0;   // all vectors are written by then
  });
  for (int round = 0; round < 3; ++round) EXPECT_FALSE(index->commit());
  EXPECT_EQ(vector_files().size(), before.size() + 2);
  set_file_fault_for_testing(nullptr);
  EXPECT_OK(index->commit());
  EXPECT_EQ(index->stats().vectors, 4u);
  EXPECT_TRUE(check_index(directory_, CancelToken())->newest.whole());
}

TEST_F(HybridTest, WritesVectorsOnceHoweverOftenTheManifestCannotBe) {
  write_some();
  const std::vector<std::string> before = vector_files();
  const auto index = open_dense(Index::Mode::write);
  const auto fail_to_commit = [&] {
    set_file_fault_for_testing([](FileOperation operation, const std::string&) { return operation == FileOperation::rename ? ENOSPC : 0; });
    for (int round = 0; round < 3; ++round) EXPECT_FALSE(index->commit());
    set_file_fault_for_testing(nullptr);
  };
  EXPECT_OK(index->add(make_document("new", "A medic on a train.")));
  fail_to_commit();
  EXPECT_EQ(vector_files().size(), before.size() + 2);
  EXPECT_OK(index->add(make_document("newer", "A physician on a ship.")));   // which they lack
  EXPECT_OK(index->remove("new"));
  fail_to_commit();
  EXPECT_OK(index->commit());
  EXPECT_EQ(index->stats().vectors, 4u);
  EXPECT_EQ(search(*index, {.query = "ship"}).hits.at(0).passage.document_id, "newer");
  EXPECT_TRUE(check_index(directory_, CancelToken())->newest.whole());
}

TEST_F(HybridTest, AForkedChildLeavesTheVectorsThatAreWrittenToItsParent) {
  write_some();
  const size_t before = vector_files().size();
  auto index = open_dense(Index::Mode::write);
  EXPECT_OK(index->add(make_document("new", "A medic on a train.")));
  const IndexPaths paths(directory_);
  set_file_fault_for_testing([&](FileOperation operation, const std::string& path) {
    return operation == FileOperation::sync_directory && path == paths.lucene ? EIO : 0;   // all vectors are written by then
  });
  EXPECT_FALSE(index->commit());
  set_file_fault_for_testing(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    index.reset();
    _exit(0);
  }
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(vector_files().size(), before + 2);
  EXPECT_OK(index->commit());
  EXPECT_EQ(index->stats().vectors, 4u);
  EXPECT_TRUE(check_index(directory_, CancelToken())->newest.whole());
}

TEST_F(HybridTest, JoinsSegmentsAndStillFindsAll) {
  const auto index = open_dense(Index::Mode::write);
  for (int i = 0; i < 60; ++i) {
    EXPECT_OK(index->add(make_document("d" + std::to_string(i), "word" + std::to_string(i) + " stands here")));
    if (i % 7 == 3) EXPECT_OK(index->remove("d" + std::to_string(i - 2)));
    EXPECT_OK(index->commit());
  }
  EXPECT_LT(vector_files().size(), 30u);
  EXPECT_EQ(index->stats().vectors, index->stats().passages);
  for (int i = 0; i < 60; ++i) {
    const auto found = search(*index, {.query = "word" + std::to_string(i), .top = 3, .hybrid = {.dense_weight = 1}});
    const bool removed = (i + 2) % 7 == 3 && i + 2 < 60;
    const auto all = ids(found);
    EXPECT_LE(std::count(all.begin(), all.end(), "d" + std::to_string(i)), removed ? 0 : 1);
  }
}

TEST_F(HybridTest, SearchesWhileItIsWritten) {
  write_some();
  const auto writer = open_dense(Index::Mode::write);
  const auto reader = open_dense(Index::Mode::read);
  std::atomic<bool> done{false};
  std::thread searches([&] {
    while (!done) {
      EXPECT_OK(reader->refresh());
      const auto found = reader->search({.query = "medic"}, {});
      ASSERT_TRUE(found) << found.status().to_string();
      EXPECT_THAT(ids(*found), testing::Contains("surgery"));
    }
  });
  for (int i = 0; i < 25; ++i) {
    EXPECT_OK(writer->add(make_document("x" + std::to_string(i % 5), "something else " + std::to_string(i))));
    EXPECT_OK(writer->commit());
  }
  done = true;
  searches.join();
}

TEST_F(HybridTest, GivesEachDocumentOnceWhenThatIsWanted) {
  const auto index = open_dense(Index::Mode::write);
  std::string text;
  for (int i = 0; i < 40; ++i) text += "The automobile number " + std::to_string(i) + " stands in the long street of the old town by the river.\n\n";
  EXPECT_OK(index->add(make_document("long", text)));
  EXPECT_OK(index->add(make_document("short", "A vehicle.")));
  EXPECT_OK(index->commit());
  EXPECT_GT(index->stats().passages, 2u);
  const auto found = search(*index, {.query = "automobile", .one_per_document = true});
  EXPECT_THAT(ids(found), testing::UnorderedElementsAre("long", "short"));
}

TEST_F(HybridTest, RanksTheBestAgainByAnotherModel) {
  write_some();
  IndexModels with_rerank = models();
  // Likes the latest in the alphabet.
  with_rerank.rerank = [](const std::string& query, std::span<const std::string> texts, const CancelToken&) -> Result<std::vector<float>> {
    EXPECT_EQ(query, "the physician");
    std::vector<float> scores;
    for (const std::string& text : texts) scores.push_back(text.find("bridge") != text.npos ? 9.0f : 1.0f / static_cast<float>(text.size()));
    return scores;
  };
  auto opened = Index::open(directory_, Index::Mode::read, {.models = with_rerank});
  ASSERT_TRUE(opened);
  const auto found = search(**opened, {.query = "the physician"});
  EXPECT_TRUE(found.reranked);
  EXPECT_EQ(found.hits.at(0).passage.document_id, "bridge");
  EXPECT_EQ(found.hits.at(0).score, 9);
  for (size_t i = 1; i < found.hits.size(); ++i) EXPECT_LE(found.hits[i].score, found.hits[i - 1].score);
  const auto plain = search(**opened, {.query = "the physician", .top = 1, .hybrid = {.rerank = HybridOptions::Use::never}});
  EXPECT_EQ(plain.hits.at(0).passage.document_id, "surgery");
  const auto one = search(**opened, {.query = "the physician", .top = 1});
  EXPECT_EQ(one.hits.at(0).passage.document_id, "bridge") << "more are ranked again than are given";
}

TEST_F(HybridTest, RefusesWhatAModelMustNotGive) {
  const auto bad = [&](std::vector<float> vector) {
    std::filesystem::remove_all(directory_);
    const IndexModels broken{.embedding = {"bad", 2, [vector](std::span<const std::string>, TextRole, const CancelToken&) -> Result<std::vector<float>> { return vector; }}};
    auto index = Index::open(directory_, Index::Mode::write, {.models = broken});
    EXPECT_TRUE(index);
    EXPECT_OK((*index)->add(make_document("a", "text")));
    return (*index)->commit().code();
  };
  EXPECT_EQ(bad({1, 2, 3}), StatusCode::internal);
  EXPECT_EQ(bad({1, std::nanf("")}), StatusCode::internal);
  EXPECT_EQ(bad({0, 0}), StatusCode::ok);
  EXPECT_EQ(bad({3, 4}), StatusCode::ok);
}

TEST_F(HybridTest, FindsByVectorsNothingThatAFilterLeavesOut) {
  {
    const auto index = open_dense(Index::Mode::write);
    Document open_to_all = make_document("open", "The physician of the town.");
    Document kept_close = make_document("close", "The doctor of the castle.");
    kept_close.acl = {"guards"};
    kept_close.attributes["lang"] = "en";
    EXPECT_OK(index->add(open_to_all));
    EXPECT_OK(index->add(kept_close));
    EXPECT_OK(index->commit());
  }
  const auto index = open_dense(Index::Mode::read);
  SearchRequest request{.query = "medic"};
  EXPECT_THAT(ids(search(*index, request)), testing::UnorderedElementsAre("open", "close"));
  request.filter.principals = std::vector<std::string>{"guests"};
  EXPECT_THAT(ids(search(*index, request)), ElementsAre("open"));
  request.filter.principals = std::vector<std::string>{"guards"};
  request.filter.attributes["lang"] = {"en"};
  EXPECT_THAT(ids(search(*index, request)), ElementsAre("close"));
}

TEST_F(HybridTest, ShowsBeforeTheCommitWhatIsNewByWordsAndNothingThatIsGone) {
  write_some();
  const auto index = open_dense(Index::Mode::write);
  EXPECT_OK(index->remove("garage"));
  EXPECT_OK(index->add(make_document("surgery", "The stone is gone.", "", Source::file)));
  EXPECT_OK(index->add(make_document("new", "A heron stands here.")));
  EXPECT_OK(index->make_visible());
  for (const Hit& hit : search(*index, {.query = "medic vehicle"}).hits) {
    EXPECT_NE(hit.passage.document_id, "garage");
    EXPECT_NE(hit.passage.document_id, "surgery") << "its new text is found by words until the commit";
  }
  EXPECT_THAT(ids(search(*index, {.query = "heron"})), testing::Contains("new"));
  EXPECT_OK(index->commit());
  EXPECT_EQ(index->stats().vectors, 3u);
  EXPECT_THAT(ids(search(*index, {.query = "medic"})), testing::UnorderedElementsAre("surgery", "bridge", "new"));
}

TEST_F(HybridTest, MakesVectorsDurableWithoutACallWhereThatIsAskedFor) {
  IndexOptions options{.models = models()};
  options.durable_within = std::chrono::milliseconds(20);
  auto index = Index::open(directory_, Index::Mode::write, options);
  ASSERT_TRUE(index);
  EXPECT_OK((*index)->add(make_document("surgery", "A physician sees patients.")));
  for (int i = 0; i < 4000 && (*index)->stats().vectors == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  ASSERT_EQ((*index)->stats().vectors, 1u);
  EXPECT_EQ(search(**index, {.query = "medic"}).hits.at(0).passage.document_id, "surgery");
  const auto check = check_index(directory_, CancelToken());
  ASSERT_TRUE(check);
  EXPECT_EQ(check->newest.vectors, 1u);
}

TEST_F(HybridTest, KeepsVectorsThroughMergesOfSegments) {
  const auto index = open_dense(Index::Mode::write);
  for (const char* id : {"garage", "surgery", "bridge"}) {
    EXPECT_OK(index->add(make_document(id, id == std::string("surgery") ? "A physician." : id + std::string(" of stone."))));
    EXPECT_OK(index->commit());
  }
  EXPECT_OK(index->optimize(CancelToken()));
  EXPECT_EQ(index->stats().vectors, 3u);
  EXPECT_EQ(model_->passages, 3u);
  EXPECT_EQ(search(*index, {.query = "medic"}).hits.at(0).passage.document_id, "surgery");
  const auto reader = open_dense(Index::Mode::read);
  EXPECT_EQ(search(*reader, {.query = "medic"}).hits.at(0).passage.document_id, "surgery");
}

TEST_F(HybridTest, GivesEveryPageFromOneOrder) {
  {
    const auto index = open_dense(Index::Mode::write);
    for (int i = 0; i < 30; ++i)
      EXPECT_OK(index->add(make_document("d" + std::to_string(i), (i % 2 ? "A physician, number " : "A stone, number ") + std::to_string(i))));
    EXPECT_OK(index->commit());
  }
  IndexModels with_rerank = models();
  with_rerank.rerank = [](const std::string&, std::span<const std::string> texts, const CancelToken&) -> Result<std::vector<float>> {
    std::vector<float> scores;
    for (const std::string& text : texts) scores.push_back(toy_vector(text)[0] - static_cast<float>(text.back()));
    return scores;
  };
  for (const IndexModels& used : {models(), with_rerank}) {
    const auto index = Index::open(directory_, Index::Mode::read, {.models = used});
    ASSERT_TRUE(index);
    for (const bool collapse : {false, true}) {
      SearchRequest request{.query = "medic stone", .top = 30, .collapse_duplicates = collapse};
      const std::vector<std::string> all = ids(search(**index, request));
      std::vector<std::string> paged;
      request.top = 7;
      for (request.offset = 0; request.offset < 35; request.offset += 7) {
        const SearchResponse page = search(**index, request);
        EXPECT_EQ(page.total, 30u);
        for (const std::string& id : ids(page)) paged.push_back(id);
      }
      EXPECT_EQ(paged, all);
    }
  }
}

TEST_F(HybridTest, KeepsWhatWasFoundOnlyForTheSameOptionsAndVectors) {
  write_some();
  const auto index = open_dense(Index::Mode::read);
  EXPECT_FALSE(search(*index, {.query = "medic"}).hits.empty());
  const size_t embedded = model_->queries;
  EXPECT_FALSE(search(*index, {.query = "medic"}).hits.empty());
  EXPECT_EQ(model_->queries, embedded) << "kept";
  EXPECT_TRUE(search(*index, {.query = "medic", .hybrid = {.dense = HybridOptions::Use::never}}).hits.empty());
  EXPECT_NE(search(*index, {.query = "medic", .hybrid = {.dense_weight = 0.25}}).hits.at(0).score, search(*index, {.query = "medic"}).hits.at(0).score);
  {
    const auto writer = open_dense(Index::Mode::write);
    EXPECT_OK(writer->remove("surgery"));
    EXPECT_OK(writer->commit());
  }
  EXPECT_OK(index->refresh());
  for (const std::string& id : ids(search(*index, {.query = "medic"}))) EXPECT_NE(id, "surgery");
}

TEST_F(HybridTest, TakesVectorsIntoBackups) {
  write_some();
  for (const bool link : {false, true}) {
    const std::string out = root_ + (link ? "/linked" : "/copied");
    const auto report = backup_index(directory_, out, {link}, CancelToken());
    ASSERT_TRUE(report) << report.status().to_string();
    const auto check = check_index(out, CancelToken());
    ASSERT_TRUE(check);
    EXPECT_TRUE(check->newest.whole());
    EXPECT_EQ(check->newest.vectors, 3u);
    EXPECT_EQ(check->newest.files, report->files);
    const auto copy = Index::open(out, Index::Mode::read, {.models = models()});
    ASSERT_TRUE(copy) << copy.status().to_string();
    EXPECT_EQ(search(**copy, {.query = "medic"}).hits.at(0).passage.document_id, "surgery");
  }
  damage(vector_files().back());
  EXPECT_EQ(backup_index(directory_, root_ + "/damaged", {}, CancelToken()).status().code(), StatusCode::corrupt);
}

TEST_F(HybridTest, KeepsVectorsThroughAMigration) {
  write_some();
  const IndexPaths paths(directory_);
  auto manifest = read_manifest(paths.manifest);
  ASSERT_TRUE(manifest);
  manifest->analysis = kAnalysisVersion - 1;
  EXPECT_OK(replace_manifest(paths, *manifest));
  const auto report = migrate_index(directory_, {}, CancelToken());
  ASSERT_TRUE(report) << report.status().to_string();
  EXPECT_EQ(report->documents, 3u);
  {
    const auto reader = open_dense(Index::Mode::read);
    EXPECT_EQ(search(*reader, {.query = "medic"}).hits.at(0).passage.document_id, "surgery");
  }
  const auto writer = open_dense(Index::Mode::write);
  EXPECT_OK(writer->commit());
  EXPECT_EQ(model_->passages, 3u) << "nothing is embedded again";
  EXPECT_EQ(writer->stats().vectors, 3u);
}

TEST(Fusion, AddsUpWhatRanksAreWorth) {
  const auto by_doc = [](int32_t doc) { return doc; };
  const auto fused = fuse({{1, 9}, {2, 5}}, {{2, 0.9f}, {3, 0.1f}}, {}, by_doc);
  ASSERT_EQ(fused.size(), 3u);
  EXPECT_NEAR(static_cast<double>(fused[0].score), 0.5 / 61, 1e-7);
  EXPECT_NEAR(static_cast<double>(fused[1].score), 0.5 / 62 + 0.5 / 61, 1e-7);
  EXPECT_NEAR(static_cast<double>(fused[2].score), 0.5 / 62, 1e-7);
}

TEST(Fusion, WeighsScoresBetweenTheLeastAndTheGreatest) {
  const auto fused = fuse({{1, 9}, {2, 5}, {4, 1}}, {{2, 0.9f}, {3, 0.1f}},
                          {.fusion = HybridOptions::Fusion::scores, .dense_weight = 0.25}, [](int32_t doc) { return doc; });
  ASSERT_EQ(fused.size(), 4u);
  EXPECT_FLOAT_EQ(fused[0].score, 0.75f);
  EXPECT_FLOAT_EQ(fused[1].score, 0.75f * 0.5f + 0.25f);
}

TEST(Fusion, CountsAGroupOnceInEachList) {
  const auto fused = fuse({{1, 9}, {2, 5}}, {{2, 0.9f}}, {}, [](int32_t) { return 0; });
  ASSERT_EQ(fused.size(), 1u);
  EXPECT_EQ(fused[0].doc, 1);
  EXPECT_NEAR(static_cast<double>(fused[0].score), 0.5 / 61 + 0.5 / 61, 1e-7);
}

}  // namespace
}  // namespace wenqu::retrieval
