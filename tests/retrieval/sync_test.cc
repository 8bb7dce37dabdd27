#include "retrieval/sync/folder_sync.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "index_fixture.h"
#include "retrieval/index_backup.h"
#include "retrieval/sync/folder_watch.h"
#include "toy_models.h"

namespace wenqu::retrieval {
namespace {

namespace fs = std::filesystem;

// Long enough to have near-duplicates.
const std::string kText =
    "苍鹭是一种大型涉禽，栖息于湖泊和河流的浅水处。它们以鱼类为食，站在水中等待，动作很慢。春天里它们回到湿地筑巢，秋天向南方飞去。";

class SyncTest : public IndexTest {
 protected:
  void SetUp() override {
    IndexTest::SetUp();
    folder_ = root_ + "/notes";
    fs::create_directories(folder_ + "/sub");
    write("a.txt", "the heron waits");
    write("sub/b.txt", "the otter swims");
    write("c.jsonl", "{\"id\":\"x\",\"text\":\"a heron row\"}\n{\"id\":\"y\",\"text\":\"an otter row\"}\n");
  }

  // An hour old, or else it counts as just written.
  void write(const std::string& name, const std::string& content, int age = 3600) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << content;
    fs::last_write_time(folder_ + "/" + name, fs::file_time_type::clock::now() - std::chrono::seconds(age));
  }

  // One run of a program that indexes the folder.
  SyncCounts sync(const SyncOptions& options = {}) {
    auto index = open(Index::Mode::write);
    problems_.clear();
    SyncSink sink;
    sink.problem = [this](const Status& problem) { problems_.push_back(problem); };
    FolderSync sync(*index, directory_, options, sink);
    EXPECT_OK(sync.sync(folder_, {}));
    EXPECT_OK(sync.commit());
    return sync.counts();
  }
  std::vector<std::string> found(const std::string& query) {
    std::vector<std::string> names;
    for (const std::string& id : ids(find(*open(Index::Mode::read), query))) names.push_back(id.substr(id.rfind('/') + 1));
    std::sort(names.begin(), names.end());
    return names;
  }
  using Names = std::vector<std::string>;

  std::string folder_;
  std::vector<Status> problems_;
};

TEST_F(SyncTest, UnchangedFilesAreNotReadAgain) {
  EXPECT_EQ(sync().documents, 4u);
  const SyncCounts again = sync();
  EXPECT_EQ(again.documents, 0u);
  EXPECT_EQ(again.unchanged, 3u);
  EXPECT_EQ(again.bytes, 0u);
  SyncOptions all;
  all.read_all = true;
  EXPECT_EQ(sync(all).documents, 4u);
}

TEST_F(SyncTest, AFileThatWasOnlyTouchedIsUnchanged) {
  sync();
  write("a.txt", "the heron waits", 1800);
  EXPECT_EQ(sync().documents, 0u);
  // Just written: its time may not tell of the next change, its content does.
  write("a.txt", "the heron waits", 0);
  EXPECT_EQ(sync().documents, 0u);
  write("a.txt", "the heron walks", 0);
  EXPECT_EQ(sync().documents, 1u);
  write("a.txt", "the heron hunts", 0);
  EXPECT_EQ(sync().documents, 1u);
  EXPECT_EQ(found("hunts"), Names{"a.txt"});
}

TEST_F(SyncTest, ChangedFilesAreReadAndVanishedOnesRemoved) {
  sync();
  write("a.txt", "the heron flies away");
  write("c.jsonl", "{\"id\":\"x\",\"text\":\"a heron row\"}\n");
  fs::remove_all(folder_ + "/sub");
  const SyncCounts counts = sync();
  EXPECT_EQ(counts.documents, 2u);
  EXPECT_EQ(counts.removed, 2u);
  EXPECT_EQ(found("otter"), Names{});
  EXPECT_EQ(found("heron"), (Names{"a.txt", "x"}));
}

TEST_F(SyncTest, AFileThatVanishesWhileItsFolderIsReadIsGoneAndNoProblem) {
  sync();
  write("sub/b.txt", "the otter sleeps");
  write("sub/d.txt", "an otter on its way");
  auto index = open(Index::Mode::write);
  SyncSink sink;
  sink.problem = [this](const Status& problem) { problems_.push_back(problem); };
  sink.progress = [this](const SyncCounts&) { fs::remove_all(folder_ + "/sub"); };   // after a.txt, which comes first
  FolderSync sync(*index, directory_, {}, sink);
  EXPECT_OK(sync.sync(folder_, {}));
  EXPECT_OK(sync.commit());
  index.reset();
  EXPECT_TRUE(problems_.empty()) << problems_[0].to_string();
  EXPECT_EQ(sync.counts().removed, 1u);
  EXPECT_EQ(found("otter"), Names{"y"});
}

TEST_F(SyncTest, WhatWasReadOfAFileThatVanishedMeanwhileGoesWithTheNextSync) {
  std::string lines;
  for (int i = 0; i < 2'000; ++i) lines += "{\"id\":\"r" + std::to_string(i) + "\",\"text\":\"a grebe row\"}\n";
  write("z.jsonl", lines + "no JSON\n");
  auto index = open(Index::Mode::write);
  SyncSink sink;
  sink.problem = [this](const Status& problem) { problems_.push_back(problem); };
  sink.committed = [this](const SyncCounts&) { fs::remove(folder_ + "/z.jsonl"); };   // while it is read
  SyncOptions options;
  options.commit_every = 100;
  FolderSync sync(*index, directory_, options, sink);
  EXPECT_OK(sync.sync(folder_, {}));
  EXPECT_OK(sync.commit());
  EXPECT_EQ(problems_.size(), 1u);
  EXPECT_EQ(sync.counts().documents, 2'004u);
  EXPECT_OK(sync.sync(folder_, {}));
  EXPECT_OK(sync.commit());
  index.reset();
  EXPECT_EQ(found("grebe"), Names{});
  EXPECT_EQ(found("heron"), (Names{"a.txt", "x"}));
}

TEST_F(SyncTest, WhoFollowsAFolderLeavesAFileThatIsJustBeingMadeForThen) {
  SyncOptions options;
  options.follows = true;
  write("new.txt", "", 0);
  EXPECT_EQ(sync(options).problems, 0u);
  EXPECT_EQ(sync().problems, 1u) << "who does not follow it will not come back";
  write("old.txt", "");
  EXPECT_EQ(sync(options).problems, 1u) << "what is an hour old is not just being made";
}

TEST_F(SyncTest, NothingIsRemovedWhereAFolderIsMissingOrClosed) {
  sync();
  auto index = open(Index::Mode::write);
  FolderSync other(*index, directory_, {}, {});
  EXPECT_EQ(other.sync(root_ + "/absent", {}).code(), StatusCode::not_found);
  index.reset();
  if (::geteuid() == 0) return;   // root may list every folder
  ::chmod((folder_ + "/sub").c_str(), 0);
  EXPECT_EQ(sync().removed, 0u);
  ::chmod((folder_ + "/sub").c_str(), 0755);
}

TEST_F(SyncTest, OtherDocumentsOfTheIndexStay) {
  auto index = open(Index::Mode::write);
  EXPECT_OK(index->add(make_document("mine", "a heron of my own")));
  EXPECT_OK(index->commit());
  index.reset();
  sync();
  fs::remove(folder_ + "/a.txt");
  sync();
  EXPECT_EQ(found("heron"), (Names{"mine", "x"}));
}

TEST_F(SyncTest, AFileThatCannotBeReadKeepsWhatItHadAndIsTriedAgain) {
  sync();
  write("d.docx", "PK half written");
  EXPECT_EQ(sync().problems, 1u);
  EXPECT_EQ(sync().problems, 1u) << "told each time, until it is mended";
  write("sub/b.txt", "");
  sync();
  EXPECT_EQ(found("otter"), Names{"y"}) << "a file that was emptied holds nothing any more";
}

TEST_F(SyncTest, ALostOrDamagedStateOnlyCostsWork) {
  for (const bool damaged : {false, true}) {
    sync();
    const std::string state = directory_ + "/" + kSyncStateName;
    ASSERT_TRUE(fs::exists(state));
    if (damaged) fs::resize_file(state, fs::file_size(state) / 2);
    else fs::remove(state);
    EXPECT_EQ(sync().documents, 4u);
    EXPECT_EQ(found("heron"), (Names{"a.txt", "x"}));
  }
}

TEST_F(SyncTest, AStateOfACommitThatIsGoneIsNotBelieved) {
  sync();
  const std::string state = directory_ + "/" + kSyncStateName;
  fs::copy_file(state, root_ + "/kept");
  fs::remove_all(directory_);
  auto fresh = open(Index::Mode::write);
  fresh.reset();
  fs::copy_file(root_ + "/kept", state);
  EXPECT_EQ(sync().documents, 4u) << "the index lost its documents, whatever the state says";
}

// What a run leaves that died between the two savings of the state.
TEST_F(SyncTest, ARunThatDiedForgetsNoDocument) {
  {
    auto index = open(Index::Mode::write);
    SyncSink sink;
    FolderSync sync(*index, directory_, {}, sink);
    EXPECT_OK(sync.sync(folder_, {}));
    SyncState before = SyncState::load(directory_, 0);
    EXPECT_TRUE(before.files.empty());
    EXPECT_OK(sync.commit());
    SyncState after = SyncState::load(directory_, index->stats().commit);
    for (auto& [path, file] : after.files) {
      EXPECT_TRUE(file.settled);
      file.settled = false;
    }
    EXPECT_OK(after.save(directory_));
  }
  fs::remove(folder_ + "/a.txt");
  const SyncCounts counts = sync();
  EXPECT_EQ(counts.removed, 1u);
  EXPECT_EQ(counts.documents, 3u);
  EXPECT_EQ(found("heron"), Names{"x"});
}

TEST_F(SyncTest, TheIndexInsideTheFolderIsNoneOfItsFiles) {
  directory_ = folder_ + "/index";
  fs::create_directories(directory_);
  EXPECT_EQ(sync().documents, 4u);
  write("index/stray.txt", "a stray heron");
  EXPECT_EQ(sync().documents, 0u);
}

TEST_F(SyncTest, NearDuplicatesAreLeftOutUntilTheirOriginalGoes) {
  write("d1.txt", kText);
  write("d2.txt", kText + "（完）");
  SyncOptions drop;
  drop.duplicates = DuplicatePolicy::drop;
  EXPECT_EQ(sync(drop).duplicates, 1u);
  EXPECT_EQ(found("湿地"), Names{"d1.txt"});
  EXPECT_EQ(sync(drop).unchanged, 5u);
  fs::remove(folder_ + "/d1.txt");
  sync(drop);
  EXPECT_EQ(found("湿地"), Names{"d2.txt"});

  SyncOptions mark;
  mark.duplicates = DuplicatePolicy::mark;
  write("d3.txt", kText);
  sync(mark);
  EXPECT_EQ(found("湿地"), (Names{"d2.txt", "d3.txt"}));
  size_t marked = 0;
  for (const Hit& hit : find(*open(Index::Mode::read), "湿地").hits) marked += hit.attributes.contains("near_duplicate_of");
  EXPECT_EQ(marked, 1u);
}

TEST_F(SyncTest, DocumentsThatNotTheSamePeopleMayFindAreNoDuplicates) {
  const auto line = [](const std::string& id, const std::string& acl) { return "{\"id\":\"" + id + "\"," + acl + "\"text\":\"" + kText + "\"}\n"; };
  write("d.jsonl", line("private", "\"acl\":[\"boss\",\"ann\"],") + line("public", "\"acl\":[],") + line("other", "\"acl\":[\"boss\"],") +
                       line("copy", "\"acl\":[\"ann\",\"boss\",\"ann\"],"));
  SyncOptions drop;
  drop.duplicates = DuplicatePolicy::drop;
  EXPECT_EQ(sync(drop).duplicates, 1u);
  EXPECT_EQ(found("湿地"), (Names{"other", "private", "public"}));
  // The same holds for what another run finds in the index.
  write("e.jsonl", line("for ann", "\"acl\":[\"ann\"],") + line("public too", ""));
  SyncOptions mark;
  mark.duplicates = DuplicatePolicy::mark;
  sync(mark);
  EXPECT_EQ(found("湿地"), (Names{"copy", "for ann", "other", "private", "public", "public too"}));
  for (const Hit& hit : find(*open(Index::Mode::read), "湿地").hits) {
    const auto original = hit.attributes.find("near_duplicate_of");
    const std::string& id = hit.passage.document_id;
    EXPECT_EQ(original == hit.attributes.end() ? "" : original->second, id == "copy" ? "private" : id == "public too" ? "public" : "") << id;
  }
}

TEST_F(SyncTest, RemovingWhatIsNotThereIsToldAndNotCounted) {
  sync();
  auto index = open(Index::Mode::write);
  FolderSync by_hand(*index, directory_, {}, {});
  EXPECT_OK(by_hand.remove_document("x"));
  const Status status = by_hand.remove_document("nobody");
  EXPECT_EQ(status.code(), StatusCode::not_found);
  EXPECT_EQ(status.where(), "nobody");
  EXPECT_EQ(by_hand.counts().removed, 1u);
  EXPECT_OK(by_hand.commit());
  EXPECT_EQ(by_hand.remove_document("x").code(), StatusCode::not_found);
}

TEST_F(SyncTest, RemovingAnOriginalByHandFreesItsDuplicates) {
  write("d1.txt", kText);
  write("d2.txt", kText + "（完）");
  SyncOptions drop;
  drop.duplicates = DuplicatePolicy::drop;
  sync(drop);
  {
    auto index = open(Index::Mode::write);
    FolderSync by_hand(*index, directory_, drop, {});
    EXPECT_OK(by_hand.remove_document(folder_ + "/d1.txt"));
    EXPECT_OK(by_hand.commit());
  }
  EXPECT_EQ(found("湿地"), Names{});
  sync(drop);
  EXPECT_EQ(found("湿地"), Names{"d2.txt"});
}

TEST_F(SyncTest, NamesThatAreNoUtf8AreKeptApart) {
  write("\xB1\xA8.txt", "a heron of a report");   // GBK
  write("\xB2\xE2.txt", "a heron of a test");
  EXPECT_EQ(sync().documents, 6u);
  EXPECT_EQ(found("heron"), (Names{"a.txt", "x", "\xEF\xBF\xBD""B1\xEF\xBF\xBD""A8.txt", "\xEF\xBF\xBD""B2\xEF\xBF\xBD""E2.txt"}));
}

TEST_F(SyncTest, VeryLongPathsAreKeptApartToo) {
  const std::string deep = "sub/" + std::string(200, 'd') + "/" + std::string(200, 'e') + "/" + std::string(150, 'f');
  fs::create_directories(folder_ + "/" + deep + "1");
  fs::create_directories(folder_ + "/" + deep + "2");
  write(deep + "1/n.txt", "a heron far down");
  write(deep + "2/n.txt", "a heron farther down");
  EXPECT_EQ(sync().problems, 0u);
  EXPECT_EQ(found("heron"), (Names{"a.txt", "n.txt", "n.txt", "x"}));
}

TEST_F(SyncTest, OfTwoFilesThatGiveADocumentTheOneThatStaysGivesItAgain) {
  write("d.jsonl", "{\"id\":\"x\",\"text\":\"an egret row\"}\n");   // after c.jsonl
  sync();
  EXPECT_EQ(found("egret"), Names{"x"});
  fs::remove(folder_ + "/d.jsonl");
  sync();
  EXPECT_EQ(found("egret"), Names{});
  EXPECT_EQ(found("heron"), (Names{"a.txt", "x"}));
}

// Ctrl-C between the removal and the reading of the other file: what was done is committed.
TEST_F(SyncTest, SoItDoesWhereTheSyncWasCutShort) {
  write("d.jsonl", "{\"id\":\"x\",\"text\":\"an egret row\"}\n");
  write("e.txt", "the last file");
  sync();
  fs::remove(folder_ + "/d.jsonl");
  {
    auto index = open(Index::Mode::write);
    CancelSource stop;
    SyncSink sink;
    sink.progress = [&](const SyncCounts&) { stop.cancel(); };
    FolderSync cut(*index, directory_, {}, sink);
    EXPECT_EQ(cut.sync(folder_, stop.token()).code(), StatusCode::cancelled);
    EXPECT_OK(cut.commit());
  }
  sync();
  EXPECT_EQ(found("egret"), Names{});
  EXPECT_EQ(found("heron"), (Names{"a.txt", "x"}));
}

TEST_F(SyncTest, AStateOfEarlierVersionsIsReadAndItsFilesAreReadAgain) {
  sync();
  const std::string path = directory_ + "/" + kSyncStateName;
  std::fstream state(path, std::ios::in | std::ios::out | std::ios::binary);
  state.seekp(12);
  state.put('1');
  state.close();
  fs::remove(folder_ + "/a.txt");
  const SyncCounts counts = sync();
  EXPECT_EQ(counts.removed, 1u);
  EXPECT_EQ(counts.unchanged, 0u);
  EXPECT_EQ(counts.documents, 3u);
}

// They did not know who may find a document.
TEST_F(SyncTest, SignaturesOfEarlierVersionsAreNotBelieved) {
  sync();
  SyncState state = SyncState::load(directory_, 1);
  state.similar.add("of old", *signature_of(kText));
  EXPECT_OK(state.save(directory_));
  EXPECT_EQ(SyncState::load(directory_, 1).similar.size(), 1u);
  std::fstream file(directory_ + "/" + kSyncStateName, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(12);
  file.put('2');
  file.close();
  const SyncState older = SyncState::load(directory_, 1);
  EXPECT_EQ(older.similar.size(), 0u);
  EXPECT_EQ(older.files.size(), 3u);
}

TEST_F(SyncTest, LinesThatCannotBeReadCostNoOtherDocument) {
  sync();
  write("c.jsonl", "{\"id\":\"x\",\"text\":\"a heron line\"}\n{\"id\":\"y\",\"te");
  EXPECT_EQ(sync().problems, 1u);
  EXPECT_EQ(found("otter"), (Names{"b.txt", "y"}));
  EXPECT_EQ(sync().unchanged, 3u);
  write("c.jsonl", "{\"id\":\"x\",\"text\":\"a heron line\"}\n");
  EXPECT_EQ(sync().removed, 1u) << "now it is known that it is gone";
  EXPECT_EQ(found("otter"), Names{"b.txt"});
}

// What is done with a table's rows may take long: that is no fault of the file.
TEST_F(SyncTest, RowsAreReadHoweverLongTheyTakeToAdd) {
  write("t.csv", "id,text\nr1,a heron of the table\nr2,another heron of the table\nr3,a third heron of the table\n");
  SyncOptions hasty;
  hasty.read.max_file_seconds = 1e-9;
  hasty.commit_every = 1;
  auto index = open(Index::Mode::write);
  FolderSync sync(*index, directory_, hasty, {});
  EXPECT_OK(sync.sync(folder_, {}));
  EXPECT_OK(sync.commit());
  index.reset();
  const Names names = found("table");
  EXPECT_EQ(names, (Names{"r1", "r2", "r3"}));
}

TEST_F(SyncTest, WhatTheEmbeddingModelRefusesEndsTheRunAndCostsNoDocument) {
  std::string lines;
  for (int i = 0; i < 40; ++i) lines += "{\"id\":\"r" + std::to_string(i) + "\",\"text\":\"stone number " + std::to_string(i) + "\"}\n";
  write("d.jsonl", lines);
  const auto model = std::make_shared<ToyModel>();
  for (const StatusCode code : {StatusCode::invalid_argument, StatusCode::limit_exceeded, StatusCode::ok}) {
    EmbeddingModel wary = toy_embedding(model);
    if (code != StatusCode::ok)
      wary.embed = [code](std::span<const std::string>, TextRole, const CancelToken&) -> Result<std::vector<float>> { return Status(code, "not today"); };
    const auto index = open(Index::Mode::write, {.models = {.embedding = wary}});
    SyncSink sink;
    sink.problem = [](const Status& problem) { ADD_FAILURE() << problem.to_string(); };
    FolderSync sync(*index, directory_, {}, sink);
    const Status synced = sync.sync(folder_, {});
    if (code == StatusCode::ok) {
      EXPECT_OK(synced);
      EXPECT_OK(sync.commit());
      EXPECT_EQ(index->stats().documents, 44u);
    } else {
      EXPECT_EQ(synced.code(), StatusCode::io_error) << synced.to_string();
      EXPECT_NE(synced.message().find("the embedding model refuses: not today"), std::string::npos) << synced.to_string();
    }
  }
}

TEST_F(SyncTest, AFileThatTookTooLongIsReadAgain) {
  write("c.html", "<p>a heron of a page</p>");
  SyncOptions hasty;
  hasty.read.max_file_seconds = 1e-9;
  EXPECT_GT(sync(hasty).problems, 0u);
  EXPECT_EQ(sync().problems, 0u);
  EXPECT_EQ(found("page"), Names{"c.html"});
}

TEST_F(SyncTest, ABackupGoesOnFromWhereTheIndexWas) {
  sync();
  ASSERT_TRUE(backup_index(directory_, root_ + "/backup", {}, CancelToken()));
  directory_ = root_ + "/backup";
  fs::remove(folder_ + "/a.txt");
  const SyncCounts counts = sync();
  EXPECT_EQ(counts.unchanged, 2u);
  EXPECT_EQ(counts.removed, 1u);
  EXPECT_EQ(found("heron"), Names{"x"});
}

TEST_F(SyncTest, AWatchTellsOfChangesAndStopsWhenCancelled) {
  WatchOptions options;
  options.quiet = std::chrono::milliseconds(20);
  auto watch = FolderWatch::create(options);
  ASSERT_TRUE(watch);
  EXPECT_OK(watch->watch({folder_, folder_ + "/sub"}));
  write("sub/new.txt", "a new file");
  EXPECT_OK(watch->wait({}));
  fs::remove(folder_ + "/a.txt");
  EXPECT_OK(watch->wait({}));
  CancelSource source;
  source.cancel();
  EXPECT_EQ(watch->wait(source.token()).code(), StatusCode::cancelled);
}

TEST_F(SyncTest, AWatchLooksNowAndThenAtFoldersThatAreNotThere) {
  WatchOptions options;
  options.poll = std::chrono::milliseconds(50);
  auto watch = FolderWatch::create(options);
  ASSERT_TRUE(watch);
  EXPECT_OK(watch->watch({root_ + "/absent"}));
  EXPECT_OK(watch->wait({}));
}

// Where a passage begins goes the whole way: file, index, hit; and the marks come back with the document.
TEST_F(SyncTest, LocatorsAreKeptInTheIndex) {
  write("v.srt", "1\n00:01:01,500 --> 00:01:03,000\nthe kingfisher dives\n");
  sync();
  const auto index = open(Index::Mode::read);
  const SearchResponse response = find(*index, "kingfisher");
  ASSERT_EQ(response.hits.size(), 1u);
  EXPECT_EQ(response.hits[0].passage.locator, (Locator{Locator::Kind::time, 61500}));
  EXPECT_EQ(response.hits[0].source, Source::video);
  const auto document = index->fetch(response.hits[0].passage.document_id);
  ASSERT_TRUE(document);
  EXPECT_EQ(document->marks, (std::vector<Mark>{{0, {Locator::Kind::time, 61500}}}));
  EXPECT_TRUE(find(*index, "otter").hits.at(0).passage.locator.kind == Locator::Kind::none);
}

TEST_F(SyncTest, AHitTellsThePlaceOfWhatWasFoundInItsPassage) {
  auto index = open(Index::Mode::write);
  Document video = make_document("video", "The heron waits. The otter swims. The ferry leaves.", "", Source::video);
  video.marks = {{0, {Locator::Kind::time, 1000}}, {17, {Locator::Kind::time, 95'000}}, {34, {Locator::Kind::time, 2'700'000}}};
  EXPECT_OK(index->add(video));
  EXPECT_OK(index->commit());
  const auto place_of = [&](const char* word) { return find(*index, word).hits.at(0).passage.locator.number; };
  EXPECT_EQ(place_of("heron"), 1000u);
  EXPECT_EQ(place_of("otter"), 95'000u);
  EXPECT_EQ(place_of("ferry"), 2'700'000u);
  EXPECT_EQ(find(*index, "ferry").hits.at(0).passage.marks.size(), 2u);
}

TEST_F(SyncTest, SearchesLeaveCopiesOutWhenAsked) {
  auto index = open(Index::Mode::write);
  const std::string text = "苍鹭是一种大型涉禽，栖息于湖泊和河流的浅水处。它们以鱼类为食，站在水中等待，动作很慢。";
  EXPECT_OK(index->add(make_document("a", text)));
  EXPECT_OK(index->add(make_document("b", text + "转载")));
  EXPECT_OK(index->add(make_document("c", "夜鹭不是苍鹭。")));
  EXPECT_OK(index->commit());
  SearchRequest request;
  request.query = "苍鹭";
  request.top = 2;
  request.collapse_duplicates = true;
  const auto response = index->search(request, {});
  ASSERT_TRUE(response);
  ASSERT_EQ(response->hits.size(), 2u);
  size_t copies = 0;
  for (const Hit& hit : response->hits) copies += hit.copies.size();
  EXPECT_EQ(copies, 1u);
}

TEST_F(SyncTest, ManyCopiesDoNotHideWhatElseIsFound) {
  auto index = open(Index::Mode::write);
  const std::string text = "苍鹭是一种大型涉禽，栖息于湖泊和河流的浅水处。它们以鱼类为食，站在水中等待，动作很慢。";
  for (int i = 0; i < 60; ++i) EXPECT_OK(index->add(make_document("copy" + std::to_string(i), text)));
  const std::vector<std::string> others = {"夜鹭夜里捕鱼，不像苍鹭那样白天也出来，它的脖子短得多，羽毛是灰黑色的，常常缩着头站在树枝上。",
                                           "公园里的湖边最近来了一只苍鹭，很多人带着长焦镜头去拍它，管理处提醒大家不要靠得太近，也不要投喂。",
                                           "鹭科有六十多种鸟，苍鹭是其中分布最广的一种，从欧洲到东亚都有它的踪迹，冬天北方的会向南飞。"};
  for (size_t i = 0; i < others.size(); ++i) EXPECT_OK(index->add(make_document("other" + std::to_string(i), others[i])));
  EXPECT_OK(index->commit());
  SearchRequest request;
  request.query = "苍鹭";
  request.top = 4;
  request.collapse_duplicates = true;
  const auto response = index->search(request, {});
  ASSERT_TRUE(response);
  const std::vector<std::string> found = ids(*response);
  EXPECT_EQ(found.size(), 4u);
  EXPECT_EQ(std::count_if(found.begin(), found.end(), [](const std::string& id) { return id.starts_with("other"); }), 3);
}

}  // namespace
}  // namespace wenqu::retrieval
