// What an index does between add and commit, beside both, and with itself: visibility, merges, copies, migration.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <random>
#include <thread>

#include "base/utf8.h"
#include "index_fixture.h"
#include "retrieval/collections.h"
#include "retrieval/index/writer.h"
#include "retrieval/index_backup.h"
#include "retrieval/index_check.h"
#include "retrieval/index_migrate.h"
#include "retrieval/index_report.h"
#include "retrieval/store/file_probe.h"
#include "retrieval/store/manifest.h"

namespace wenqu::retrieval {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class IndexLifeTest : public IndexTest {
 protected:
  void TearDown() override {
    set_file_fault_for_testing(nullptr);
    IndexTest::TearDown();
  }

  std::unique_ptr<Index> open_with(const IndexOptions& options) {
    auto index = Index::open(directory_, Index::Mode::write, options);
    EXPECT_TRUE(index) << index.status().to_string();
    return index ? std::move(*index) : nullptr;
  }

  // Waits, as long as a busy machine may need, for what should come in a second.
  static bool comes_true(const std::function<bool()>& condition) {
    for (int i = 0; i < 6000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return condition();
  }

  uint64_t segments() {
    const auto report = report_index(directory_, 0, CancelToken());
    return report ? report->segments.size() : 0;
  }
};

TEST_F(IndexLifeTest, WhatIsMadeVisibleIsSeenHereAndNotSafeBeforeTheCommit) {
  auto index = open(Index::Mode::write);
  EXPECT_OK(index->add(make_document("old", "lantern")));
  EXPECT_OK(index->commit());
  auto reader = open(Index::Mode::read);
  EXPECT_OK(index->add(make_document("new", "lantern")));
  EXPECT_OK(index->remove("old"));
  EXPECT_THAT(ids(find(*index, "lantern")), ElementsAre("old"));
  EXPECT_OK(index->make_visible());
  EXPECT_THAT(ids(find(*index, "lantern")), ElementsAre("new"));
  EXPECT_FALSE(index->fetch("old"));
  EXPECT_OK(reader->refresh());
  EXPECT_THAT(ids(find(*reader, "lantern")), ElementsAre("old"));
  index.reset();
  index = open(Index::Mode::write);
  EXPECT_THAT(ids(find(*index, "lantern")), ElementsAre("old"));
}

TEST_F(IndexLifeTest, AFailedCommitKeepsWhatWasVisible) {
  auto index = open(Index::Mode::write);
  EXPECT_OK(index->add(make_document("old", "lantern")));
  EXPECT_OK(index->commit());
  EXPECT_OK(index->add(make_document("new", "lantern")));
  EXPECT_OK(index->make_visible());
  set_file_fault_for_testing([](FileOperation operation, const std::string&) { return operation == FileOperation::sync ? EIO : 0; });
  EXPECT_EQ(index->commit().code(), StatusCode::io_error);
  set_file_fault_for_testing(nullptr);
  EXPECT_THAT(ids(find(*index, "lantern")), UnorderedElementsAre("old", "new"));
  EXPECT_THAT(ids(find(*open(Index::Mode::read), "lantern")), ElementsAre("old"));
  EXPECT_OK(index->commit());
  EXPECT_THAT(ids(find(*open(Index::Mode::read), "lantern")), UnorderedElementsAre("old", "new"));
}

TEST_F(IndexLifeTest, AForkedChildThatClosesTheIndexLeavesItToItsParent) {
  for (const bool own_threads : {false, true}) {
    IndexOptions options;
    options.own_threads = own_threads;
    auto index = open_with(options);
    const std::string id = own_threads ? "with threads" : "without";
    EXPECT_OK(index->add(make_document(id, "lantern")));
    EXPECT_OK(index->make_visible());   // now it lies in files that no commit has
    const pid_t child = ::fork();
    if (child == 0) {
      index.reset();
      _exit(0);
    }
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
    EXPECT_OK(index->commit());
    EXPECT_TRUE(index->fetch(id));
    EXPECT_TRUE(check_index(directory_, CancelToken())->newest.whole());
  }
  EXPECT_EQ(open(Index::Mode::read)->stats().documents, 2u);
}

TEST_F(IndexLifeTest, ADocumentIsFoundWithoutAnyCallWhereThatIsAskedFor) {
  IndexOptions options;
  options.visible_within = std::chrono::milliseconds(200);
  auto index = open_with(options);
  for (int i = 0; i < 3; ++i) {
    EXPECT_OK(index->add(make_document("doc" + std::to_string(i), "lantern")));
    EXPECT_TRUE(comes_true([&] { return find(*index, "lantern").hits.size() == static_cast<size_t>(i + 1); }));
  }
  EXPECT_EQ(index->stats().commit, 0u);
}

TEST_F(IndexLifeTest, ADocumentIsSafeWithoutAnyCallWhereThatIsAskedFor) {
  IndexOptions options;
  options.durable_within = std::chrono::milliseconds(200);
  auto index = open_with(options);
  EXPECT_OK(index->add(make_document("doc", "lantern")));
  EXPECT_TRUE(comes_true([&] {
    const auto reader = Index::open(directory_, Index::Mode::read);
    return reader && (*reader)->stats().documents == 1;
  }));
}

TEST_F(IndexLifeTest, AnAutomaticCommitThatFailedIsTriedAgain) {
  IndexOptions options;
  options.durable_within = std::chrono::milliseconds(50);
  auto index = open_with(options);
  EXPECT_OK(index->commit());
  std::atomic<bool> refused{false};
  set_file_fault_for_testing([&](FileOperation operation, const std::string&) {
    if (operation != FileOperation::sync) return 0;
    refused = true;
    return ENOSPC;
  });
  EXPECT_OK(index->add(make_document("doc", "lantern")));
  EXPECT_TRUE(comes_true([&] { return !index->upkeep_status(); }));
  set_file_fault_for_testing(nullptr);
  EXPECT_TRUE(refused);
  EXPECT_TRUE(comes_true([&] { return index->upkeep_status().is_ok(); }));
  EXPECT_EQ(open(Index::Mode::read)->stats().documents, 1u);
}

TEST_F(IndexLifeTest, WhatCannotBeCommittedIsFoundInItsTimeAllTheSame) {
  IndexOptions options;
  options.visible_within = std::chrono::milliseconds(100);
  options.durable_within = std::chrono::milliseconds(50);
  auto index = open_with(options);
  set_file_fault_for_testing([](FileOperation operation, const std::string&) { return operation == FileOperation::sync ? EIO : 0; });
  EXPECT_OK(index->add(make_document("doc", "lantern")));
  EXPECT_TRUE(comes_true([&] { return find(*index, "lantern").hits.size() == 1; }));
  set_file_fault_for_testing(nullptr);
  EXPECT_TRUE(comes_true([&] { return index->stats().commit == 1; }));
}

TEST_F(IndexLifeTest, MergesComeByThemselves) {
  auto index = open(Index::Mode::write);
  for (int i = 0; i < 35; ++i) {
    EXPECT_OK(index->add(make_document("doc" + std::to_string(i), "lantern")));
    EXPECT_OK(index->commit());
  }
  EXPECT_TRUE(comes_true([&] { return segments() <= 10; }));
  EXPECT_EQ(find(*index, "lantern", 100).hits.size(), 35u);
}

TEST_F(IndexLifeTest, OptimizingGivesOneSegmentAndTheSameAnswers) {
  IndexOptions options;
  options.own_threads = false;
  auto index = open_with(options);
  std::mt19937 random(1);
  for (int i = 0; i < 80; ++i) {
    EXPECT_OK(index->add(make_document("doc" + std::to_string(random() % 60), "lantern " + std::string(random() % 9, 'x') + " 灯笼")));
    if (i % 9 == 8) EXPECT_OK(index->commit());
  }
  EXPECT_OK(index->make_visible());
  const auto before = ids(find(*index, "灯笼", 100));
  EXPECT_OK(index->optimize(CancelToken()));
  EXPECT_EQ(segments(), 1u);
  EXPECT_EQ(report_index(directory_, 0, CancelToken())->deleted, 0);
  EXPECT_THAT(ids(find(*index, "灯笼", 100)), testing::UnorderedElementsAreArray(before));
  EXPECT_OK(index->optimize(CancelToken()));
  CancelSource cancel;
  cancel.cancel();
  EXPECT_OK(index->add(make_document("more", "lantern")));
  EXPECT_EQ(index->optimize(cancel.token()).code(), StatusCode::cancelled);
  EXPECT_TRUE(index->fetch("more"));
}

TEST_F(IndexLifeTest, AMergeThatFailsLosesNothing) {
  IndexOptions options;
  options.own_threads = false;
  auto index = open_with(options);
  for (int i = 0; i < 5; ++i) {
    EXPECT_OK(index->add(make_document("doc" + std::to_string(i), "lantern")));
    EXPECT_OK(index->commit());
  }
  int operations = 0;
  set_file_fault_for_testing([&](FileOperation, const std::string&) { ++operations; return 0; });
  const uint64_t commit = index->stats().commit;
  for (int failing = 1; failing < 200; ++failing) {
    operations = 0;
    set_file_fault_for_testing([&](FileOperation, const std::string&) { return ++operations == failing ? EIO : 0; });
    const Status status = index->optimize(CancelToken());
    set_file_fault_for_testing(nullptr);
    ASSERT_EQ(find(*index, "lantern").hits.size(), 5u);
    ASSERT_EQ((*Index::open(directory_, Index::Mode::read))->stats().documents, 5u);
    if (operations < failing) break;
    if (index->stats().commit > commit) {
      // The fault came too late to hinder anything; there is nothing to merge any more.
      EXPECT_EQ(segments(), 1u);
      break;
    }
    EXPECT_FALSE(status);
  }
  EXPECT_OK(index->optimize(CancelToken()));
  EXPECT_EQ(segments(), 1u);
  EXPECT_EQ(find(*index, "lantern").hits.size(), 5u);
}

// The long part of a merge goes on while documents of its sources are replaced and removed.
TEST_F(IndexLifeTest, WhatIsDeletedDuringAMergeStaysDeleted) {
  auto writer = *Writer::open(IndexPaths(directory_), Writer::Options());
  for (int i = 0; i < 30; ++i) {
    EXPECT_OK(writer->add(make_document("doc" + std::to_string(i), "lantern " + std::to_string(i))));
    if (i % 10 == 9) EXPECT_OK(writer->commit());
  }
  EXPECT_OK(writer->remove("doc1"));
  EXPECT_OK(writer->commit());
  auto merge = writer->plan_merge(MergeWish::one);
  ASSERT_TRUE(merge);
  EXPECT_OK(writer->remove("doc2"));
  EXPECT_OK(writer->add(make_document("doc15", "replaced")));
  EXPECT_OK(writer->refresh());
  EXPECT_OK(merge->run(CancelToken()));
  EXPECT_OK(writer->remove("doc29"));
  EXPECT_OK(writer->finish_merge(std::move(merge)));
  EXPECT_OK(writer->commit());
  EXPECT_EQ(writer->snapshot()->documents(), 27u);
  for (const char* gone : {"doc1", "doc2", "doc29"}) EXPECT_FALSE(writer->snapshot()->find(gone));
  EXPECT_EQ(writer->snapshot()->read_document(*writer->snapshot()->find("doc15"), true)->text, "replaced");
  EXPECT_EQ(writer->segments(), 2u);
}

TEST_F(IndexLifeTest, AMergeOfWhatWasDroppedMeanwhileIsDropped) {
  auto writer = *Writer::open(IndexPaths(directory_), Writer::Options());
  EXPECT_OK(writer->add(make_document("kept", "lantern")));
  EXPECT_OK(writer->commit());
  for (const char* id : {"a", "b"}) {
    EXPECT_OK(writer->add(make_document(id, "lantern")));
    EXPECT_OK(writer->refresh());
  }
  auto merge = writer->plan_merge(MergeWish::one);
  ASSERT_TRUE(merge);
  EXPECT_OK(merge->run(CancelToken()));
  set_file_fault_for_testing([](FileOperation operation, const std::string& path) {
    if (operation == FileOperation::sync && path.ends_with(".cfs")) std::ofstream(path, std::ios::binary) << "another";
    return 0;
  });
  EXPECT_EQ(writer->commit().code(), StatusCode::corrupt);
  set_file_fault_for_testing(nullptr);
  EXPECT_OK(writer->finish_merge(std::move(merge)));
  EXPECT_EQ(writer->commit().code(), StatusCode::corrupt);
  writer.reset();
  writer = *Writer::open(IndexPaths(directory_), Writer::Options());
  EXPECT_OK(writer->add(make_document("c", "lantern")));
  EXPECT_OK(writer->commit());
  EXPECT_EQ(writer->snapshot()->documents(), 2u);
  EXPECT_TRUE(check_index(directory_, CancelToken())->newest.whole());
}

TEST_F(IndexLifeTest, ABackupIsTheIndexOfAMomentWhileWritingGoesOn) {
  auto index = open(Index::Mode::write);
  for (int i = 0; i < 20; ++i) {
    EXPECT_OK(index->add(make_document("doc" + std::to_string(i), "lantern")));
    EXPECT_OK(index->commit());
  }
  std::atomic<bool> done{false};
  std::thread writing([&] {
    for (int i = 20; !done; ++i) {
      EXPECT_OK(index->add(make_document("doc" + std::to_string(i), "lantern")));
      EXPECT_OK(index->commit());
    }
  });
  for (const bool link : {false, true}) {
    // Names that are gone cannot be linked, so writing has to pause for that.
    if (link) {
      done = true;
      writing.join();
    }
    const std::string out = root_ + (link ? "/linked/backup" : "/backup");
    const auto report = backup_index(directory_, out, {link}, CancelToken());
    ASSERT_TRUE(report) << report.status().to_string();
    EXPECT_EQ(report->linked > 0, link);
    const auto check = check_index(out, CancelToken());
    ASSERT_TRUE(check);
    EXPECT_TRUE(check->newest.whole());
    EXPECT_EQ(check->newest.documents, report->documents);
    EXPECT_GE(report->documents, 20u);
    // What is restored can be written again, and neither knows of the other.
    auto restored = *Index::open(out, Index::Mode::write);
    EXPECT_OK(restored->add(make_document("more", "restored")));
    EXPECT_OK(restored->optimize(CancelToken()));
    EXPECT_EQ(restored->stats().documents, report->documents + 1);
  }
  EXPECT_FALSE(index->fetch("more"));
  index.reset();
  EXPECT_TRUE(check_index(directory_, CancelToken())->newest.whole());
}

TEST_F(IndexLifeTest, ABackupThatDoesNotComeToItsEndIsNoIndex) {
  auto index = open(Index::Mode::write);
  EXPECT_OK(index->add(make_document("doc", "lantern")));
  EXPECT_OK(index->commit());
  const std::string out = root_ + "/backup";
  bool finished = false;
  for (int failing = 1; !finished && failing < 200; ++failing) {
    int operation = 0;
    set_file_fault_for_testing([&](FileOperation, const std::string& path) {
      return path.starts_with(out) && ++operation == failing ? EIO : 0;
    });
    const auto report = backup_index(directory_, out, {}, CancelToken());
    set_file_fault_for_testing(nullptr);
    finished = operation < failing;
    EXPECT_EQ(report.is_ok(), finished) << failing;
    const auto opened = Index::open(out, Index::Mode::read);
    // Only the very last step, which makes it last, may fail and leave a whole one.
    if (!report && opened) {
      EXPECT_EQ((*opened)->stats().documents, 1u);
    }
    if (!finished) std::filesystem::remove_all(out);
  }
  EXPECT_TRUE(finished);
  EXPECT_EQ(backup_index(directory_, out, {}, CancelToken()).status().code(), StatusCode::invalid_argument);
  EXPECT_EQ(backup_index(root_ + "/absent", root_ + "/b", {}, CancelToken()).status().code(), StatusCode::not_found);
}

// As if the index had been made by the analysis before this one.
void make_older(const std::string& directory) {
  const IndexPaths paths(directory);
  Manifest manifest = *read_manifest(paths.manifest);
  manifest.analysis = kAnalysisVersion - 1;
  ASSERT_TRUE(write_manifest(paths, manifest));
  std::filesystem::remove(paths.previous_manifest);
}

TEST_F(IndexLifeTest, AnOlderIndexIsRefusedThenMigratedWholeWhereverThatIsInterrupted) {
  {
    auto index = open(Index::Mode::write);
    for (int i = 0; i < 12; ++i) EXPECT_OK(index->add(make_document("doc" + std::to_string(i), "灯笼 lantern " + std::to_string(i), "标题")));
    EXPECT_OK(index->commit());
    EXPECT_OK(index->remove("doc3"));
    EXPECT_OK(index->commit());
  }
  make_older(directory_);
  for (const auto mode : {Index::Mode::read, Index::Mode::write}) {
    const auto refused = Index::open(directory_, mode);
    EXPECT_EQ(refused.status().code(), StatusCode::version_mismatch);
    EXPECT_THAT(refused.status().message(), HasSubstr("wenqu migrate"));
  }
  Result<MigrationReport> report = MigrationReport();
  for (int failing = 1; failing < 300; ++failing) {
    int operation = 0;
    set_file_fault_for_testing([&](FileOperation, const std::string&) { return ++operation >= failing ? EIO : 0; });
    report = migrate_index(directory_, {}, CancelToken());
    set_file_fault_for_testing(nullptr);
    const auto manifest = read_manifest(IndexPaths(directory_).manifest, Analyses::older_too);
    ASSERT_TRUE(manifest);
    if (report) {
      EXPECT_EQ(report->documents, 11u);
      EXPECT_EQ(report->from, kAnalysisVersion - 1);
      break;
    }
    // Only the very last step, which makes it last, may fail and leave the new one.
    const auto opened = Index::open(directory_, Index::Mode::read);
    if (opened) {
      ASSERT_EQ((*opened)->stats().documents, 11u) << failing;
      ASSERT_EQ(manifest->analysis, kAnalysisVersion);
      make_older(directory_);
    } else {
      ASSERT_EQ(opened.status().code(), StatusCode::version_mismatch) << failing;
    }
  }
  ASSERT_TRUE(report) << report.status().to_string();
  auto index = open(Index::Mode::write);
  EXPECT_EQ(find(*index, "灯笼", 100).hits.size(), 11u);
  EXPECT_FALSE(index->fetch("doc3"));
  EXPECT_TRUE(check_index(directory_, CancelToken())->newest.whole());
  EXPECT_TRUE(check_index(directory_, CancelToken())->previous.whole());
  EXPECT_OK(index->add(make_document("more", "灯笼")));
  EXPECT_OK(index->commit());
  index.reset();
  EXPECT_EQ(migrate_index(directory_, {}, CancelToken())->documents, 0u);
  EXPECT_EQ(migrate_index(root_ + "/absent", {}, CancelToken()).status().code(), StatusCode::not_found);
}

TEST_F(IndexLifeTest, AnIndexOfANewerVersionIsRefusedAndLeftAlone) {
  {
    auto index = open(Index::Mode::write);
    EXPECT_OK(index->commit());
  }
  Manifest manifest = *read_manifest(IndexPaths(directory_).manifest);
  manifest.analysis = kAnalysisVersion + 1;
  ASSERT_TRUE(write_manifest(IndexPaths(directory_), manifest));
  for (const Status& status : {Index::open(directory_, Index::Mode::write).status(), migrate_index(directory_, {}, CancelToken()).status()}) {
    EXPECT_EQ(status.code(), StatusCode::version_mismatch);
    EXPECT_THAT(status.message(), HasSubstr("newer"));
  }
}

TEST_F(IndexLifeTest, AReportTellsWhatThereIs) {
  auto index = open(Index::Mode::write);
  for (int i = 0; i < 10; ++i) EXPECT_OK(index->add(make_document("doc" + std::to_string(i), "lantern lantern 灯笼", "标题")));
  EXPECT_OK(index->commit());
  EXPECT_OK(index->remove("doc1"));
  EXPECT_OK(index->commit());
  const auto report = report_index(directory_, 2, CancelToken());
  ASSERT_TRUE(report) << report.status().to_string();
  EXPECT_EQ(report->documents, 9u);
  EXPECT_EQ(report->passages, 9u);
  EXPECT_EQ(report->commit, 2u);
  EXPECT_DOUBLE_EQ(report->deleted, 0.1);
  ASSERT_EQ(report->segments.size(), 1u);
  EXPECT_EQ(report->fields.size(), kTermFields);
  uint64_t sum = 0;
  for (const auto& [content, bytes] : report->bytes_by_content) sum += bytes;
  EXPECT_EQ(sum, report->bytes);
  bool met = false;
  for (const FieldReport& field : report->fields)
    for (const TermReport& term : field.top) met = met || (term.text == "灯笼" && term.passages == 10);
  EXPECT_TRUE(met);
}

TEST_F(IndexLifeTest, ATitleIsNotLongerThanTitlesAre) {
  auto index = open(Index::Mode::write);
  std::string title = "长篇";
  while (title.size() < 600'000) title += "的标题";
  EXPECT_OK(index->add(make_document("d", "灯笼挂在门口。", title)));
  EXPECT_OK(index->commit());
  EXPECT_EQ(utf8_length(index->fetch("d")->title), 512u);
  EXPECT_LT(index->stats().bytes, 100'000u);
}

TEST_F(IndexLifeTest, IndexesThatAreSearchedTogetherMustBeThere) {
  for (const char* name : {"/a/notes", "/b/notes"}) {
    auto index = *Index::open(root_ + name, Index::Mode::write);
    EXPECT_OK(index->add(make_document("d", std::string("a lantern in ") + name)));
    EXPECT_OK(index->commit());
  }
  EXPECT_EQ(Index::open_together({root_ + "/a/notes", root_ + "/absent"}).status().code(), StatusCode::not_found);
  const auto together = *Index::open_together({root_ + "/a/notes/", root_ + "/b/notes"});
  std::vector<std::string> names;
  for (const Hit& hit : find(*together, "lantern").hits) names.push_back(hit.collection);
  std::sort(names.begin(), names.end());
  EXPECT_THAT(names, ElementsAre(root_ + "/a/notes/", root_ + "/b/notes"));
}

TEST_F(IndexLifeTest, CollectionsAreMadeListedDroppedAndSearchedAsOne) {
  const auto collections = *Collections::open(root_ + "/all");
  EXPECT_THAT(*collections.names(), IsEmpty());
  for (const char* name : {"web", "chat", "empty"}) EXPECT_OK(collections.create(name));
  EXPECT_EQ(collections.create("web").code(), StatusCode::invalid_argument);
  for (const char* name : {"", ".hidden", "../x", "a/b", "名"}) EXPECT_EQ(collections.create(name).code(), StatusCode::invalid_argument);
  EXPECT_THAT(*collections.names(), ElementsAre("chat", "empty", "web"));

  // The same documents in one index rank as they do in two.
  auto whole = open(Index::Mode::write);
  std::mt19937 random(1);
  std::vector<std::unique_ptr<Index>> writers;
  for (const char* name : {"web", "chat"}) writers.push_back(*collections.open_index(name, Index::Mode::write));
  for (int i = 0; i < 60; ++i) {
    std::string text = "lantern";
    for (unsigned words = random() % 20; words > 0; --words) text += " word" + std::to_string(random() % 10);
    const Document document = make_document("doc" + std::to_string(i), text);
    EXPECT_OK(whole->add(document));
    EXPECT_OK(writers[i % 3 == 0]->add(document));
  }
  EXPECT_OK(whole->commit());
  for (const auto& writer : writers) EXPECT_OK(writer->commit());
  auto together = *collections.open_together({"web", "chat", "empty"});
  for (const char* query : {"lantern", "word3 word7", "lantern word1"}) {
    const auto one = find(*whole, query, 100);
    const auto several = find(*together, query, 100);
    EXPECT_EQ(ids(one), ids(several));
    EXPECT_EQ(one.total, several.total);
    for (size_t i = 0; i < std::min(one.hits.size(), several.hits.size()); ++i) {
      EXPECT_DOUBLE_EQ(one.hits[i].score, several.hits[i].score);
      const int number = std::stoi(several.hits[i].passage.document_id.substr(3));
      EXPECT_EQ(several.hits[i].collection, number % 3 == 0 ? "chat" : "web");
    }
  }
  EXPECT_EQ(together->stats().documents, 60u);
  EXPECT_TRUE(together->fetch("doc3"));
  EXPECT_EQ(together->add(make_document("x", "y")).code(), StatusCode::unsupported);
  EXPECT_OK(writers[1]->remove("doc3"));
  EXPECT_OK(writers[1]->commit());
  EXPECT_TRUE(together->fetch("doc3"));
  EXPECT_OK(together->refresh());
  EXPECT_FALSE(together->fetch("doc3"));

  EXPECT_EQ(collections.drop("web").code(), StatusCode::busy);
  writers.clear();
  EXPECT_OK(collections.drop("web"));
  EXPECT_THAT(*collections.names(), ElementsAre("chat", "empty"));
  EXPECT_EQ(find(*together, "lantern", 100).hits.size(), 59u);
  EXPECT_EQ(collections.drop("web").code(), StatusCode::not_found);
  EXPECT_EQ(collections.open_together({"web"}).status().code(), StatusCode::not_found);
  EXPECT_EQ(collections.open_index("web", Index::Mode::read).status().code(), StatusCode::not_found);
}

}  // namespace
}  // namespace wenqu::retrieval
