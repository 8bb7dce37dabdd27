#include "retrieval/documents/reader.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/utf8.h"

namespace wenqu::retrieval {
namespace {

class ReaderTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "wenqu_reader_" + std::to_string(::getpid()) + "_" +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string write(const std::string& name, const std::string& bytes) {
    std::ofstream(directory_ + "/" + name, std::ios::binary) << bytes;
    return directory_ + "/" + name;
  }
  struct Read {
    std::vector<Document> documents;
    std::vector<Status> problems;
    Status status;
  };
  Read read(const std::string& path, ReadOptions options = {}) {
    Read result;
    ReadSink sink;
    sink.document = [&](Document&& document) { return result.documents.push_back(std::move(document)), Status(); };
    sink.problem = [&](const Status& problem) { result.problems.push_back(problem); };
    result.status = read_documents(path, options, sink, {}).status();
    for (const Document& document : result.documents) EXPECT_TRUE(utf8_is_valid(document.text));
    return result;
  }
  std::string directory_;
};

TEST_F(ReaderTest, HtmlGivesItsTextWithoutScriptsAndNavigation) {
  const Read got = read(write("a.html", "<html><head><title>T &amp; U</title><style>p{}</style></head><body><nav>menu</nav>"
                                        "<p>First<br>line</p><script>evil()</script><p>Second</p></body></html>"));
  ASSERT_EQ(got.documents.size(), 1u);
  EXPECT_EQ(got.documents[0].title, "T & U");
  EXPECT_NE(got.documents[0].text.find("First"), std::string::npos);
  EXPECT_NE(got.documents[0].text.find("Second"), std::string::npos);
  for (const char* out : {"evil", "menu", "p{}"}) EXPECT_EQ(got.documents[0].text.find(out), std::string::npos) << out;
}

TEST_F(ReaderTest, MarkdownKeepsItsParagraphsAndTakesTheFirstHeadingAsTitle) {
  const Read got = read(write("a.md", "# The *heron*\n\nOne.\n\n- two\n- three\n\n`code`\n"));
  ASSERT_EQ(got.documents.size(), 1u);
  EXPECT_EQ(got.documents[0].title, "The heron");
  for (const char* in : {"One.", "two", "three", "code"}) EXPECT_NE(got.documents[0].text.find(in), std::string::npos) << in;
}

TEST_F(ReaderTest, NestingThatIsTooDeepCostsOneReportAtMost) {
  std::string html = "<p>kept</p>";
  for (int i = 0; i < 100000; ++i) html += "<div>";
  write("a.html", html);
  std::string list;
  for (int i = 0; i < 5000; ++i) list += std::string(static_cast<size_t>(i), ' ') + "- x\n";
  write("b.md", list);
  write("c.jsonl", "{\"id\":\"1\",\"text\":\"good\"}\n{\"id\":\"2\",\"text\":\"x\",\"a\":" + std::string(100000, '[') + "\n{\"id\":\"3\",\"text\":\"good\"}\n");
  const Read got = read(directory_);
  EXPECT_TRUE(got.status);
  size_t good = 0;
  for (const Document& document : got.documents) good += document.text == "good";
  EXPECT_EQ(good, 2u);
  EXPECT_LE(got.problems.size(), 3u);
}

TEST_F(ReaderTest, LinesAndFilesPastTheirLimitAreReported) {
  const std::string path = write("a.jsonl", "{\"id\":\"1\",\"text\":\"" + std::string(5000, 'x') + "\"}\n{\"id\":\"2\",\"text\":\"short\"}\n");
  const Read got = read(path, {.max_file_bytes = 1000});
  ASSERT_EQ(got.documents.size(), 1u);
  EXPECT_EQ(got.documents[0].id, "2");
  ASSERT_EQ(got.problems.size(), 1u);
  EXPECT_EQ(got.problems[0].code(), StatusCode::limit_exceeded);
  EXPECT_EQ(got.problems[0].where(), path + ":1");
}

TEST_F(ReaderTest, SymbolicLinksThatLoopEnd) {
  write("a.txt", "one");
  std::filesystem::create_directory_symlink(directory_, directory_ + "/loop");
  std::filesystem::create_symlink("self", directory_ + "/self.txt");
  const Read got = read(directory_);
  EXPECT_EQ(got.documents.size(), 1u);
}

TEST_F(ReaderTest, ByteOrderMarksAndCarriageReturnsAreNoText) {
  const Read got = read(write("a.jsonl", "\xEF\xBB\xBF{\"id\":\"1\",\"text\":\"one\"}\r\n\r\n{\"id\":\"2\",\"text\":\"two\"}"));
  ASSERT_EQ(got.documents.size(), 2u);
  EXPECT_TRUE(got.problems.empty());
  const Read wide = read(write("b.txt", std::string("\xFF\xFEh\0i\0", 6)));
  ASSERT_EQ(wide.documents.size(), 1u);
  EXPECT_EQ(wide.documents[0].text, "hi");
}

TEST(DocumentJson, WrongMembersAreNamed) {
  for (const auto& [json, member] : {std::pair{R"({"text":"x"})", "id"}, {R"({"id":"","text":"x"})", "id"}, {R"({"id":"1"})", "text"},
                                     {R"({"id":"1","text":7})", "text"}, {R"({"id":"1","text":"x","title":[]})", "title"},
                                     {R"({"id":"1","text":"x","source":"tv"})", "source"},
                                     {R"({"id":"1","text":"x","attributes":[]})", "attributes"}}) {
    const auto document = parse_document_json(json, Source::web);
    ASSERT_FALSE(document) << json;
    EXPECT_NE(document.status().to_string().find(member), std::string::npos) << document.status().to_string();
  }
  const auto good = parse_document_json(R"({"id":"1","text":"x","attributes":{"a":1,"b":true,"c":"d"},"other":{}})", Source::web);
  ASSERT_TRUE(good) << good.status().to_string();
  EXPECT_EQ(good->source, Source::web);
  EXPECT_EQ(good->attributes.at("a"), "1");
}

TEST(DocumentJson, ATextMayComeInPassages) {
  const auto document = parse_document_json(R"({"id":"1","passages":["水边。","the heron"],"text":null})", Source::web);
  ASSERT_TRUE(document) << document.status().to_string();
  EXPECT_EQ(document->text, "水边。\nthe heron");
  EXPECT_EQ(document->passages, (std::vector<CharRange>{{0, 3}, {4, 13}}));
  for (const char* json : {R"({"id":"1","passages":"x"})", R"({"id":"1","passages":[]})", R"({"id":"1","passages":["x"," "]})",
                           R"({"id":"1","passages":["x",7]})", R"({"id":"1","passages":["x"],"text":"x"})"}) {
    const auto wrong = parse_document_json(json, Source::web);
    ASSERT_FALSE(wrong) << json;
    EXPECT_NE(wrong.status().to_string().find("passages"), std::string::npos) << wrong.status().to_string();
  }
}

}  // namespace
}  // namespace wenqu::retrieval
