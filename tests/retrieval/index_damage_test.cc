// A damaged index gives the same answers as before or says that it is corrupt; nothing else.
#include <fstream>
#include <functional>
#include <random>

#include "index_fixture.h"
#include "retrieval/store/manifest.h"

namespace wenqu::retrieval {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

class IndexDamageTest : public IndexTest {
 protected:
  void SetUp() override {
    IndexTest::SetUp();
    auto index = open(Index::Mode::write);
    std::mt19937 random(1);
    for (int i = 0; i < 60; ++i) {
      std::string text = "灯笼 lantern 第" + std::to_string(i) + "号。";
      for (int j = 0; j < 12; ++j) text += "word" + std::to_string(random() % 40) + " ";
      EXPECT_OK(index->add(make_document("doc" + std::to_string(i), text, "标题 " + std::to_string(i % 7))));
      if (i % 20 == 19) EXPECT_OK(index->commit());
    }
    EXPECT_OK(index->remove("doc3"));
    EXPECT_OK(index->commit());
    index.reset();
    files_ = {directory_ + "/manifest", directory_ + "/manifest.prev"};
    for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/lucene"))
      files_.push_back(entry.path().string());
    std::sort(files_.begin(), files_.end());
    const auto answers = ask();
    ASSERT_TRUE(answers);
    before_ = *answers;
  }

  // Everything the index tells, as one string.
  Result<std::string> ask() {
    WENQU_ASSIGN_OR_RETURN(auto index, Index::open(directory_, Index::Mode::read));
    std::string told = std::to_string(index->stats().documents) + " " + std::to_string(index->stats().commit);
    for (const char* query : {"lantern", "灯笼", "word3 word5", "标题", "第12号", "nothing"}) {
      SearchRequest request;
      request.query = query;
      request.top = 100;
      WENQU_ASSIGN_OR_RETURN(const SearchResponse response, index->search(request, CancelToken()));
      for (const Hit& hit : response.hits)
        told += hit.passage.document_id + hit.passage.text + std::to_string(hit.score) + hit.title;
    }
    for (int i = 0; i < 60; ++i) {
      const auto document = index->fetch("doc" + std::to_string(i));
      told += document ? document->text : "none";
    }
    return told;
  }

  // Gives whether the damage was noticed.
  bool expect_same_or_corrupt() {
    const auto answers = ask();
    if (answers) {
      EXPECT_EQ(*answers, before_);
      return false;
    }
    EXPECT_EQ(answers.status().code(), StatusCode::corrupt) << answers.status().to_string();
    EXPECT_FALSE(answers.status().where().empty());
    return true;
  }

  std::vector<std::string> files_;
  std::string before_;
};

TEST_F(IndexDamageTest, FlippedAndTruncatedFilesAreNoticed) {
  std::mt19937 random(2);
  int noticed = 0;
  for (const std::string& path : files_) {
    const std::string whole = read_file(path);
    for (int i = 0; i < 60; ++i) {
      std::string damaged = whole;
      const size_t place = random() % whole.size();
      std::string how;
      switch (i % 4) {
        case 0: damaged[place] = static_cast<char>(damaged[place] ^ (1 << random() % 8)); break;
        case 1: damaged.resize(place); break;
        case 2: damaged.insert(place, 1, static_cast<char>(random())); break;
        case 3: damaged.replace(place, std::min<size_t>(512, whole.size() - place),
                                std::min<size_t>(512, whole.size() - place), '\0'); break;
      }
      SCOPED_TRACE(path + " way " + std::to_string(i % 4) + " at " + std::to_string(place));
      write_file(path, damaged);
      noticed += expect_same_or_corrupt();
    }
    write_file(path, whole);
  }
  EXPECT_GT(noticed, 200);
  EXPECT_EQ(*ask(), before_);
}

TEST_F(IndexDamageTest, MissingFilesAreNoticed) {
  for (const std::string& path : files_) {
    SCOPED_TRACE(path);
    const std::string whole = read_file(path);
    std::filesystem::remove(path);
    expect_same_or_corrupt();
    std::filesystem::create_directory(path);
    const auto answers = ask();
    if (answers) {
      EXPECT_EQ(*answers, before_);
    }
    std::filesystem::remove(path);
    write_file(path, whole);
  }
}

TEST_F(IndexDamageTest, TheMessageLeadsBackToTheCommitBefore) {
  write_file(directory_ + "/manifest", "rubbish");
  const auto broken = Index::open(directory_, Index::Mode::read);
  EXPECT_EQ(broken.status().code(), StatusCode::corrupt);
  EXPECT_NE(broken.status().message().find("check --repair"), std::string::npos) << broken.status().to_string();
  EXPECT_EQ(Index::open(directory_, Index::Mode::write).status().code(), StatusCode::corrupt);

  std::filesystem::rename(directory_ + "/manifest.prev", directory_ + "/manifest");
  auto index = open(Index::Mode::write);
  EXPECT_TRUE(index->fetch("doc3"));  // removed by the commit that is lost
  EXPECT_OK(index->remove("doc3"));
  EXPECT_OK(index->commit());
  EXPECT_EQ(index->stats().documents, 59u);
}

TEST_F(IndexDamageTest, AManifestCannotNameFilesElsewhere) {
  for (const char* name : {"../lock", "/etc/passwd", "", ".", "..", "a/b"}) {
    Manifest manifest;
    manifest.commit = 1;
    manifest.files = {{name, 0, 0}};
    EXPECT_EQ(parse_manifest(format_manifest(manifest)).status().code(), StatusCode::corrupt) << name;
  }
}

TEST_F(IndexDamageTest, RubbishInTheFolderIsIgnoredAndSweptAway) {
  write_file(directory_ + "/lucene/segments_zz", "rubbish");
  write_file(directory_ + "/lucene/segments.gen", "rubbish");
  write_file(directory_ + "/lucene/_99.cfs", "rubbish");
  EXPECT_EQ(*ask(), before_);
  auto index = open(Index::Mode::write);
  EXPECT_OK(index->add(make_document("new", "more")));
  EXPECT_OK(index->commit());
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/lucene/segments_zz"));
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/lucene/_99.cfs"));
}

}  // namespace
}  // namespace wenqu::retrieval
