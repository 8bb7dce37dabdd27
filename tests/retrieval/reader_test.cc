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

TEST_F(ReaderTest, MarkdownKeepsNotesAndLinesThatLookLikeTargetsOfLinks) {
  const Read got = read(write("a.md", "The heron[^1] on the [lake][1].\n\n[^1]: 苍鹭。\n[1]: https://e.org/lake\n[TODO]: 买牛奶\n\n> [2026-03-02]: 明天交报告\n\n"
                                      "[//]: # (not to be read)\n\n```\n[^2]: code\n```\n"));
  ASSERT_EQ(got.documents.size(), 1u);
  EXPECT_EQ(got.documents[0].text, "The heron[^1] on the lake.\n\n[^1]: 苍鹭。\n\n[TODO]: 买牛奶\n\n[2026-03-02]: 明天交报告\n\n[^2]: code");
}

TEST_F(ReaderTest, ReadsMarkdownOfManyTargetsThatEndNowhere) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "[a]:<\n";   // minutes, were each looked for to the end of the text
  EXPECT_EQ(read(write("a.md", text)).documents.size(), 1u);
}

TEST_F(ReaderTest, FrontMatterTellsTheDateAndWhoMayFindADocument) {
  const auto of = [&](const std::string& front_matter) {
    const Read got = read(write("a.md", "---\n" + front_matter + "\n---\nThe heron.\n"));
    EXPECT_EQ(got.documents.size(), 1u);
    return got.documents.empty() ? Document() : got.documents.front();
  };
  using Names = std::vector<std::string>;
  for (const char* acl : {"acl: ann; bob", "ACL: [ann, \"bob\"]", "acl:\n  - ann\n  - 'bob'\ntitle: T", "acl:\r\n- ann\r\n- bob", "\"acl\": [ann, bob]"})
    EXPECT_EQ(of(acl).acl, (Names{"ann", "bob"})) << acl;
  for (const char* none : {"title: T", "acl:\ntitle: T", "acl: []"}) EXPECT_EQ(of(none).acl, Names{}) << none;
  for (const char* unreadable : {"acl: ;", "acl:\n  read: [ann]"}) EXPECT_FALSE(of(unreadable).acl.empty()) << "it would be everybody's: " << unreadable;
  EXPECT_EQ(of("date: 2026/03/05").published_at, "2026-03-05");
  EXPECT_EQ(of("date: 2026-3-5 9:00").published_at, "2026-03-05");
}

TEST_F(ReaderTest, AnAuthorThatIsTooLongIsCutAndCostsNoFile) {
  const Read got = read(write("a.html", "<html><head><meta name=\"author\" content=\"" + std::string(kMaxAuthorBytes - 1, 'a') + "鹭\"></head><body><p>The heron.</p></body></html>"));
  ASSERT_EQ(got.documents.size(), 1u);
  EXPECT_EQ(got.documents[0].author, std::string(kMaxAuthorBytes - 1, 'a'));
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

TEST(DocumentJson, MembersThatWereMeantToBeAnotherAreRefusedWithTheRightSpelling) {
  for (const auto& [json, right] : {std::pair{R"({"id":"1","text":"x","ACL":["boss"]})", "`acl`"}, {R"({"id":"1","text":"x","Published_at":"2024-03-05"})", "`published_at`"},
                                    {R"({"id":"1","Text":"x"})", "`text`"},
                                    {R"({"id":"1","text":"x","acls":["boss"]})", "`acl`"}, {R"({"id":"1","text":"x","Principals":["boss"]})", "`acl`"},
                                    {R"({"id":"1","text":"x","principal":"boss"})", "`acl`"}}) {
    const auto document = parse_document_json(json, Source::web);
    ASSERT_FALSE(document) << json;
    EXPECT_NE(document.status().message().find(right), std::string::npos) << document.status().to_string();
  }
  EXPECT_TRUE(parse_document_json(R"({"id":"1","text":"x","Other":1,"attributes":{"ACL":"x","principal":"x"}})", Source::web));
}

TEST(DocumentJson, DatesMayBeWrittenInManyWays) {
  for (const auto& [written, date] : {std::pair{R"("2026年3月1日")", "2026-03-01"}, {R"("1767225600")", "2026-01-01T00:00:00Z"}, {"1767225600", "2026-01-01T00:00:00Z"},
                                      {"1767225600123", "2026-01-01T00:00:00Z"}, {R"("2026-03")", "2026-03"}, {R"("")", ""}, {"null", ""}}) {
    std::string undated;
    const auto document = parse_document_json(std::string(R"({"id":"1","text":"x","published_at":)") + written + "}", Source::web, &undated);
    ASSERT_TRUE(document) << document.status().to_string();
    EXPECT_EQ(document->published_at, date) << written;
    EXPECT_EQ(undated, "");
  }
  EXPECT_FALSE(parse_document_json(R"({"id":"1","text":"x","published_at":true})", Source::web));
  EXPECT_FALSE(parse_document_json(R"({"id":"1","text":"x","published_at":"soon"})", Source::web)) << "nobody could be told";
}

TEST_F(ReaderTest, ADateThatCannotBeReadIsToldAndItsDocumentKept) {
  const std::string path = write("a.jsonl", "{\"id\":\"1\",\"text\":\"one\",\"published_at\":\"2026/03/01\"}\n{\"id\":\"2\",\"text\":\"two\",\"published_at\":\"last spring\"}\n");
  const Read got = read(path);
  ASSERT_EQ(got.documents.size(), 2u);
  EXPECT_EQ(got.documents[0].published_at, "2026-03-01");
  EXPECT_EQ(got.documents[1].published_at, "");
  ASSERT_EQ(got.problems.size(), 1u);
  EXPECT_EQ(got.problems[0].where(), path + ":2");
  EXPECT_NE(got.problems[0].message().find("last spring"), std::string::npos);
  const Read rows = read(write("b.csv", "id,text,published_at\n1,one,last spring\n"));
  ASSERT_EQ(rows.documents.size(), 1u);
  EXPECT_EQ(rows.documents[0].published_at, "");
  EXPECT_EQ(rows.problems.size(), 1u);
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
