#include "retrieval/index_check.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>

#include "index_fixture.h"
#include "retrieval/store/crc32c.h"
#include "retrieval/store/file_probe.h"
#include "retrieval/store/manifest.h"

namespace wenqu::retrieval {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

class IndexCheckTest : public IndexTest {
 protected:
  void TearDown() override {
    set_file_fault_for_testing(nullptr);
    IndexTest::TearDown();
  }

  // Two commits: the second adds "b" and removes "a".
  void write_two_commits() {
    auto index = open(Index::Mode::write);
    EXPECT_OK(index->add(make_document("a", "alpha 灯笼", "title")));
    EXPECT_OK(index->add(make_document("c", std::string(5000, 'c') + ". And another sentence. 第三句。")));
    EXPECT_OK(index->commit());
    EXPECT_OK(index->add(make_document("b", "beta")));
    EXPECT_OK(index->remove("a"));
    EXPECT_OK(index->commit());
  }

  IndexCheck check() {
    const auto result = check_index(directory_, CancelToken());
    EXPECT_TRUE(result) << result.status().to_string();
    return result ? *result : IndexCheck();
  }

  Status repair_status() { return repair_index(directory_, CancelToken()).status(); }

  // A file of the newest commit that the one before does not have.
  std::string newest_file() {
    const auto newest = read_manifest(IndexPaths(directory_).manifest);
    const auto previous = read_manifest(IndexPaths(directory_).previous_manifest);
    for (const ManifestFile& file : newest->files)
      if (std::find(previous->files.begin(), previous->files.end(), file) == previous->files.end())
        return IndexPaths(directory_).lucene + "/" + file.name;
    return {};
  }

  static void damage(const std::string& path) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    ASSERT_TRUE(file) << path;
    file.seekp(3);
    file.put('\x5a');
  }
};

TEST_F(IndexCheckTest, AWholeIndexIsWhole) {
  write_two_commits();
  const IndexCheck found = check();
  EXPECT_TRUE(found.newest.whole());
  EXPECT_EQ(found.newest.commit, 2u);
  EXPECT_EQ(found.newest.documents, 2u);
  EXPECT_GT(found.newest.passages, 1u);
  EXPECT_GT(found.newest.bytes, 100u);
  EXPECT_EQ(found.newest.written_at.size(), std::string("2026-11-25 10:02:03").size());
  EXPECT_TRUE(found.can_go_back());
  EXPECT_EQ(found.previous.commit, 1u);
  EXPECT_OK(repair_status());
  EXPECT_EQ(open(Index::Mode::read)->stats().commit, 2u);
}

TEST_F(IndexCheckTest, ItWorksBesideAWriterAndOnAnIndexWithoutCommits) {
  auto index = open(Index::Mode::write);
  EXPECT_EQ(check().newest.commit, 0u);
  EXPECT_TRUE(check().newest.whole());
  EXPECT_FALSE(check().can_go_back());
  EXPECT_OK(index->add(make_document("a", "alpha")));
  EXPECT_OK(index->commit());
  EXPECT_EQ(check().newest.commit, 1u);
  EXPECT_FALSE(check().can_go_back());
}

TEST_F(IndexCheckTest, ADamagedCommitIsNamedAndTheOneBeforeComesBack) {
  write_two_commits();
  const std::string path = newest_file();
  damage(path);
  const IndexCheck found = check();
  ASSERT_EQ(found.newest.damage.size(), 1u);
  EXPECT_EQ(found.newest.damage[0].code(), StatusCode::corrupt);
  EXPECT_EQ(found.newest.damage[0].where(), path);
  EXPECT_TRUE(found.can_go_back());
  EXPECT_EQ(Index::open(directory_, Index::Mode::read).status().code(), StatusCode::corrupt);

  EXPECT_OK(repair_status());
  auto index = open(Index::Mode::write);
  EXPECT_EQ(index->stats().commit, 1u);
  EXPECT_TRUE(index->fetch("a"));
  EXPECT_EQ(index->fetch("b").status().code(), StatusCode::not_found);
  EXPECT_OK(index->add(make_document("b", "beta")));
  EXPECT_OK(index->commit());
  index.reset();
  EXPECT_TRUE(check().newest.whole());
}

TEST_F(IndexCheckTest, ALostOrDamagedManifestIsRepairedToo) {
  for (const bool lost : {true, false}) {
    SCOPED_TRACE(lost);
    std::filesystem::remove_all(directory_);
    write_two_commits();
    if (lost)
      std::filesystem::remove(directory_ + "/manifest");
    else
      damage(directory_ + "/manifest");
    EXPECT_FALSE(check().newest.whole());
    EXPECT_OK(repair_status());
    EXPECT_TRUE(check().newest.whole());
    EXPECT_TRUE(open(Index::Mode::read)->fetch("a"));
  }
}

TEST_F(IndexCheckTest, WithNothingWholeLeftNothingIsChanged) {
  write_two_commits();
  for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/lucene")) damage(entry.path());
  EXPECT_FALSE(check().newest.whole());
  EXPECT_FALSE(check().previous.whole());
  const Status status = repair_status();
  EXPECT_EQ(status.code(), StatusCode::corrupt);
  EXPECT_THAT(status.message(), HasSubstr("nothing was changed"));
  EXPECT_EQ(read_manifest(directory_ + "/manifest")->commit, 2u);
}

TEST_F(IndexCheckTest, WhatCannotBeReadIsNotJudged) {
  write_two_commits();
  const std::string path = newest_file();
  set_file_fault_for_testing([&](FileOperation operation, const std::string& at) {
    return operation == FileOperation::read && at == path ? EIO : 0;
  });
  EXPECT_FALSE(check().newest.whole());
  const Status status = repair_status();
  EXPECT_EQ(status.code(), StatusCode::io_error);
  EXPECT_EQ(status.where(), path);
  set_file_fault_for_testing(nullptr);
  EXPECT_EQ(open(Index::Mode::read)->stats().commit, 2u);
}

TEST_F(IndexCheckTest, AnIndexInUseIsCheckedButNotRepaired) {
  write_two_commits();
  auto index = open(Index::Mode::write);
  damage(newest_file());
  EXPECT_FALSE(check().newest.whole());
  EXPECT_EQ(repair_status().code(), StatusCode::busy);
  // A scrubber sees what befell an open index.
  const Status scrubbed = index->scrub(CancelToken());
  EXPECT_EQ(scrubbed.code(), StatusCode::corrupt);
  EXPECT_EQ(scrubbed.where(), newest_file());
}

TEST_F(IndexCheckTest, DamageIsNeverMergedIntoFilesThatLookWhole) {
  auto index = open(Index::Mode::write);
  EXPECT_OK(index->add(make_document("first", std::string(3000, 'f'))));
  EXPECT_OK(index->commit());
  // Damaged behind the back of a writer that has it open, in the middle of a stored text.
  for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/lucene")) {
    if (entry.path().extension() != ".cfs") continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string content(std::istreambuf_iterator<char>(in), {});
    const size_t place = content.find("ffffffffff");
    ASSERT_NE(place, std::string::npos);
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(place + 5));
    file.put('g');
  }
  EXPECT_OK(index->add(make_document("second", "lantern")));
  const Status status = index->optimize(CancelToken());
  EXPECT_EQ(status.code(), StatusCode::corrupt) << status.to_string();
  EXPECT_THAT(status.message(), HasSubstr("checksum"));
  EXPECT_EQ(index->upkeep_status().code(), StatusCode::corrupt);
  // What is not damaged goes on.
  EXPECT_OK(index->add(make_document("third", "lantern")));
  EXPECT_OK(index->commit());
  EXPECT_THAT(ids(find(*index, "lantern")), UnorderedElementsAre("second", "third"));
  index.reset();
  EXPECT_FALSE(check().newest.whole());
}

TEST_F(IndexCheckTest, OtherFoldersAreNoIndexAndAreLeftAlone) {
  EXPECT_EQ(check_index(directory_, CancelToken()).status().code(), StatusCode::not_found);
  std::filesystem::create_directories(directory_ + "/lucene");
  std::ofstream(directory_ + "/lucene/_0.cfs") << "somebody's";
  EXPECT_EQ(check_index(directory_, CancelToken()).status().code(), StatusCode::not_found);
  EXPECT_EQ(repair_status().code(), StatusCode::not_found);
  EXPECT_EQ(Index::open(directory_, Index::Mode::read).status().code(), StatusCode::not_found);
  const Status refused = Index::open(directory_, Index::Mode::write).status();
  EXPECT_EQ(refused.code(), StatusCode::invalid_argument);
  EXPECT_THAT(refused.message(), HasSubstr("empty folder"));
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/lucene/_0.cfs"));
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/lock"));
  EXPECT_EQ(check_index("", CancelToken()).status().code(), StatusCode::invalid_argument);
}

TEST_F(IndexCheckTest, AnIndexWithoutItsManifestsIsNotSweptAway) {
  write_two_commits();
  std::filesystem::remove(directory_ + "/manifest");
  std::filesystem::remove(directory_ + "/manifest.prev");
  const Status refused = Index::open(directory_, Index::Mode::write).status();
  EXPECT_EQ(refused.code(), StatusCode::corrupt);
  EXPECT_THAT(refused.message(), HasSubstr("from a copy"));
  EXPECT_FALSE(std::filesystem::is_empty(directory_ + "/lucene"));
}

TEST_F(IndexCheckTest, AnIndexOfAnotherVersionIsRefusedAndKept) {
  write_two_commits();
  for (const auto& [line, other] : {std::pair("wenqu-index 1", "wenqu-index 0"), std::pair("wenqu-index 1", "wenqu-index 2"),
                                    std::pair("analysis ", "analysis 999")}) {
    Manifest manifest = *read_manifest(directory_ + "/manifest");
    std::string text = format_manifest(manifest);
    const std::string whole = text;
    text.replace(text.find(line), std::string(line).size(), other);
    text.resize(text.rfind("crc32c "));
    char sum[24];
    std::snprintf(sum, sizeof sum, "crc32c %08x\n", crc32c(text));
    std::ofstream(directory_ + "/manifest") << text << sum;
    for (const Status& status : {Index::open(directory_, Index::Mode::read).status(),
                                 Index::open(directory_, Index::Mode::write).status(),
                                 check_index(directory_, CancelToken()).status(), repair_status()}) {
      EXPECT_EQ(status.code(), StatusCode::version_mismatch) << status.to_string();
      EXPECT_THAT(status.message(), HasSubstr("empty folder"));
    }
    std::ofstream(directory_ + "/manifest") << whole;
    EXPECT_EQ(open(Index::Mode::read)->stats().documents, 2u);
  }
}

TEST_F(IndexCheckTest, AReadOnlyDirectoryIsReadAndNotWritten) {
  write_two_commits();
  // As a read-only file system refuses; permissions would not stop root.
  set_file_fault_for_testing([](FileOperation operation, const std::string& path) {
    const bool reads = operation == FileOperation::read || operation == FileOperation::list ||
                       (operation == FileOperation::open && !path.ends_with("/lock"));
    return reads ? 0 : EROFS;
  });
  EXPECT_TRUE(check().newest.whole());
  auto reader = open(Index::Mode::read);
  EXPECT_EQ(find(*reader, "beta").hits.size(), 1u);
  EXPECT_OK(reader->refresh());
  const Status refused = Index::open(directory_, Index::Mode::write).status();
  EXPECT_EQ(refused.code(), StatusCode::io_error);
  EXPECT_THAT(refused.message(), HasSubstr("Read-only"));
}

TEST_F(IndexCheckTest, ItStopsWhenAsked) {
  write_two_commits();
  CancelSource source;
  source.cancel();
  EXPECT_EQ(check_index(directory_, source.token()).status().code(), StatusCode::cancelled);
}

}  // namespace
}  // namespace wenqu::retrieval
