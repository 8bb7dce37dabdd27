#include "retrieval/documents/reader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/utf8.h"
#include "malformed/seeds.h"
#include "retrieval/documents/boilerplate.h"
#include "retrieval/documents/dates.h"
#include "retrieval/documents/decode.h"
#include "retrieval/documents/guess_encoding.h"
#include "retrieval/documents/mail_coding.h"
#include "retrieval/documents/page_text.h"
#include "retrieval/documents/passages.h"
#include "test_folder.h"

namespace wenqu::retrieval {
namespace {

using testing::Test;

class FormatsTest : public Test {
 protected:
  void SetUp() override {
    folder_ = make_test_folder();
    ASSERT_FALSE(folder_.empty());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << bytes;
    return folder_ + "/" + name;
  }
  struct Read {
    std::vector<Document> documents;
    std::vector<Status> problems;
  };
  Read read(const std::string& path, const ReadOptions& options = {}) {
    Read result;
    ReadSink sink;
    sink.document = [&](Document&& document) { return result.documents.push_back(std::move(document)), Status(); };
    sink.problem = [&](const Status& problem) { result.problems.push_back(problem); };
    EXPECT_TRUE(read_documents(path, options, sink, {}));
    return result;
  }
  // The only document of a file.
  Document read_one(const std::string& name, const std::string& bytes) {
    const Read got = read(write(name, bytes));
    for (const Status& problem : got.problems) ADD_FAILURE() << problem.to_string();
    EXPECT_EQ(got.documents.size(), 1u);
    return got.documents.empty() ? Document() : got.documents.front();
  }
  Status problem_of(const std::string& name, const std::string& bytes) {
    const Read got = read(write(name, bytes));
    EXPECT_TRUE(got.documents.empty());
    EXPECT_EQ(got.problems.size(), 1u);
    return got.problems.empty() ? Status() : got.problems.front();
  }

  std::string folder_;
};

bool holds(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// The text from a mark to the next.
std::string marked(const Document& document, size_t mark) {
  const std::u32string text = utf8_to_utf32(document.text);
  const size_t begin = document.marks.at(mark).begin;
  const size_t end = mark + 1 < document.marks.size() ? document.marks[mark + 1].begin : text.size();
  return utf32_to_utf8(std::u32string_view(text).substr(begin, end - begin));
}

TEST_F(FormatsTest, WordFilesGiveTheirParagraphsTablesAndFootnotesWithPages) {
  const Document got = read_one("a.docx", make_archive(docx_parts()));
  EXPECT_EQ(got.title, "Herons");
  EXPECT_EQ(got.author, "Li Hua");
  EXPECT_EQ(got.published_at, "2024-03-05T08:00:00Z");
  EXPECT_TRUE(holds(got.text, "A large wading bird & more."));
  EXPECT_TRUE(holds(got.text, "height 98"));
  EXPECT_TRUE(holds(got.text, "A note on herons."));
  EXPECT_FALSE(holds(got.text, "small")) << "what was deleted";
  EXPECT_FALSE(holds(got.text, "PAGE")) << "a field's code";
  ASSERT_EQ(got.marks.size(), 2u);
  EXPECT_EQ(got.marks[1].locator, (Locator{Locator::Kind::page, 2}));
  EXPECT_TRUE(marked(got, 1).starts_with("苍鹭在第二页。"));
}

TEST_F(FormatsTest, WordFilesGiveTheirEndnotesToo) {
  ArchiveParts parts = docx_parts();
  parts.emplace_back("word/endnotes.xml", "<w:endnotes xmlns:w=\"w\"><w:endnote><w:p><w:r><w:t>A note at the end.</w:t></w:r></w:p></w:endnote></w:endnotes>");
  EXPECT_TRUE(read_one("a.docx", make_archive(parts)).text.ends_with("A note on herons.\n\nA note at the end."));
}

TEST_F(FormatsTest, BooksGiveTheirSectionsInReadingOrder) {
  const Document got = read_one("a.epub", make_archive(epub_parts()));
  EXPECT_EQ(got.title, "The heron book");
  EXPECT_EQ(got.published_at, "2024-03-05");
  ASSERT_EQ(got.marks.size(), 2u);
  EXPECT_EQ(got.marks[0], (Mark{0, {Locator::Kind::section, 1}}));
  EXPECT_TRUE(holds(marked(got, 0), "The heron waits."));
  EXPECT_TRUE(marked(got, 1).starts_with("Two"));
  EXPECT_FALSE(holds(got.text, "contents")) << "the navigation is no section";
}

TEST_F(FormatsTest, ProtectedBooksAreRefused) {
  ArchiveParts parts = epub_parts();
  parts.emplace_back("META-INF/rights.xml", "<rights/>");
  EXPECT_EQ(problem_of("a.epub", make_archive(parts)).code(), StatusCode::unsupported);
}

TEST_F(FormatsTest, PdfGivesItsPagesAndProperties) {
  if (std::system("pdftotext -v >/dev/null 2>&1") != 0) GTEST_SKIP() << "pdftotext is not installed";
  const Document got = read_one("a.pdf", make_pdf({"The heron\nwaits.", "", "It flies away."}));
  EXPECT_EQ(got.title, "The heron");
  EXPECT_EQ(got.author, "Li Hua");
  EXPECT_EQ(got.published_at.substr(0, 10), "2024-03-05");
  ASSERT_EQ(got.marks.size(), 2u) << "the page without text has none";
  EXPECT_EQ(got.marks[1].locator, (Locator{Locator::Kind::page, 3}));
  EXPECT_EQ(marked(got, 1), "It flies away.");
}

TEST_F(FormatsTest, PassagesKnowWhereTheyBegin) {
  Document document;
  document.id = "v";
  for (int cue = 0; cue < 100; ++cue) {
    document.marks.push_back({static_cast<uint32_t>(utf8_length(document.text)), {Locator::Kind::time, static_cast<uint64_t>(cue) * 1000}});
    document.text += "第" + std::to_string(cue) + "句话说的是苍鹭怎样在水中等待。\n";
  }
  const std::vector<Passage> passages = split_passages(document);
  ASSERT_GT(passages.size(), 3u);
  for (const Passage& passage : passages) {
    EXPECT_EQ(passage.locator.kind, Locator::Kind::time);
    const std::string cue = std::to_string(passage.locator.number / 1000);
    EXPECT_TRUE(passage.text.starts_with("第" + cue + "句话")) << passage.text.substr(0, 30);
  }
}

TEST_F(FormatsTest, TablesBecomeOneDocumentOrOneForEachRow) {
  const Document whole = read_one("a.csv", "name;height\n\"苍鹭; 大\";98\n\n\"say \"\"hi\"\"\";61\n");
  EXPECT_EQ(whole.text, "name: 苍鹭; 大\nheight: 98\n\nname: say \"hi\"\nheight: 61");
  ASSERT_EQ(whole.marks.size(), 2u);
  EXPECT_EQ(whole.marks[1].locator, (Locator{Locator::Kind::row, 2}));

  const Read rows = read(write("b.csv", "\xEF\xBB\xBFID,Text,title,topic\r\n7,\"The heron\nis grey\",Heron,birds\r\n,,no text,x\r\n,The otter,,\r\n"));
  ASSERT_EQ(rows.documents.size(), 2u);
  EXPECT_EQ(rows.documents[0].id, "7");
  EXPECT_EQ(rows.documents[0].text, "The heron\nis grey");
  EXPECT_EQ(rows.documents[0].attributes.at("topic"), "birds");
  EXPECT_TRUE(rows.documents[1].id.ends_with("b.csv#3"));
  ASSERT_EQ(rows.problems.size(), 1u);
  EXPECT_TRUE(rows.problems[0].where().ends_with("row 2"));
}

TEST_F(FormatsTest, RowsOfATableSayWhoMayFindThem) {
  const Read rows = read(write("a.csv", "id,text,ACL\n1,The heron,ann; bob;\n2,The otter,\n3,The grebe, \n4,The stork\n5,The crane,;\n"));
  ASSERT_EQ(rows.documents.size(), 5u);
  EXPECT_EQ(rows.documents[0].acl, (std::vector<std::string>{"ann", "bob"}));
  EXPECT_FALSE(rows.documents[0].attributes.contains("ACL"));
  for (size_t i : {1u, 2u, 3u}) EXPECT_TRUE(rows.documents[i].acl.empty()) << i;
  EXPECT_FALSE(rows.documents[4].acl.empty()) << "something was meant";
  const Read misspelt = read(write("b.csv", "id,text,Acls\n1,The heron,ann; bob\n2,The otter,\n"));
  EXPECT_EQ(misspelt.documents.size(), 1u);
  ASSERT_EQ(misspelt.problems.size(), 1u);
  EXPECT_NE(misspelt.problems[0].message().find("write `acl`"), std::string::npos) << misspelt.problems[0].to_string();
}

TEST_F(FormatsTest, MailGivesItsPlainTextAndSender) {
  const Document got = read_one("a.eml", seeds_of(".eml").front());
  EXPECT_EQ(got.title, "苍鹭 heron");
  EXPECT_EQ(got.author, "李华");
  EXPECT_EQ(got.published_at, "2024-03-05T00:00:00Z");
  EXPECT_TRUE(holds(got.text, "The heron 苍鹭 waits still."));
  EXPECT_TRUE(holds(got.text, "inner\n\nAn inner heron.")) << got.text;
  EXPECT_FALSE(holds(got.text, "<p>"));
  EXPECT_FALSE(holds(got.text, "AAEC")) << "an attachment";
}

TEST(MailWords, WordsThatCutACharacterApartAreJoined) {
  EXPECT_EQ(decode_mail_words("=?utf-8?B?6IuN?=\r\n =?utf-8?B?6bmt?= x"), "苍鹭 x");
  EXPECT_EQ(decode_mail_words("=?utf-8?Q?=E8=8B?= =?utf-8?Q?=8D_a?="), "苍 a");
  EXPECT_EQ(decode_mail_words("=?nonsense =?x?y?z?= ?="), "=?nonsense =?x?y?z?= ?=");
}

TEST_F(FormatsTest, SubtitlesGiveTheirLinesWithTimes) {
  const Document srt = read_one("a.srt", "1\r\n00:00:01,000 --> 00:00:03,500\r\n<i>大家好</i>\r\n\r\n2\r\n01:01:05,250 --> 01:01:09,000\r\n{\\an8}我们来看\r\n苍鹭 &amp; 水\r\n");
  EXPECT_EQ(srt.text, "大家好\n我们来看\n苍鹭 & 水");
  EXPECT_EQ(srt.source, Source::video);
  ASSERT_EQ(srt.marks.size(), 2u);
  EXPECT_EQ(srt.marks[0], (Mark{0, {Locator::Kind::time, 1000}}));
  EXPECT_EQ(srt.marks[1], (Mark{4, {Locator::Kind::time, 3665250}}));
  EXPECT_EQ(describe(srt.marks[1].locator), "1:01:05");

  const Document vtt = read_one("a.vtt", "WEBVTT\n\nNOTE not said\n\n00:01.000 --> 00:03.000 align:start\nThe heron\n\n00:03.000 --> 00:05.000\nThe heron\n<v Bob>waits\n");
  EXPECT_EQ(vtt.text, "The heron\nwaits") << "captions that roll up repeat their lines";
}

TEST_F(FormatsTest, WeChatArticlesGiveTheirTextAccountDateAndAddress) {
  const Document got = read_one("a.html", seeds_of(".html").back());
  EXPECT_EQ(got.title, "苍鹭的春天");
  EXPECT_EQ(got.author, "湿地观察");
  EXPECT_EQ(got.published_at, "2024-03-05T08:00:00Z");
  EXPECT_EQ(got.url, "https://mp.weixin.qq.com/s/abc");
  EXPECT_EQ(got.source, Source::official_account);
  EXPECT_EQ(got.text, "春天，苍鹭 heron 回到了湿地。\n\n它们开始筑巢。");
}

TEST_F(FormatsTest, PagesAreReadWithoutWhatIsAroundTheirText) {
  const std::string links = "<li><a href=1>Politics of the day</a><li><a href=2>Sports results</a><li><a href=3>Weather tomorrow</a>";
  const Document got = read_one("a.html",
      "<html><head><title>T</title><script type=\"application/ld+json\">{\"datePublished\": \"2024-03-05\"}</script></head><body>"
      "<div class=\"top-nav\">Menu of the site</div><div class=\"wrapper\"><div id=content><p>The heron is a large bird that <a href=x>waits</a> in shallow water for fish.</p>"
      "<p>It builds its nest high in the trees, and returns there each spring.</p></div><ul>" + links + "</ul>"
      "<div class=\"adSlot\">Buy now</div><div style=\"display: none\">nobody reads this</div></div><div class=\"site-footer\">All rights reserved</div></body></html>");
  EXPECT_EQ(got.published_at, "2024-03-05");
  EXPECT_EQ(got.text, "The heron is a large bird that waits in shallow water for fish.\n\nIt builds its nest high in the trees, and returns there each spring.");
}

TEST_F(FormatsTest, PagesKeepTheDayOfADateWhoseZoneIsNotKnown) {
  EXPECT_EQ(read_one("a.html", "<head><meta name=date content=\"2024-05-06 10:00:00 CST\"></head><body><p>The heron.</p></body>").published_at, "2024-05-06");
}

TEST_F(FormatsTest, APageThatIsAllLinksOrStrangelyNamedKeepsItsText) {
  EXPECT_TRUE(holds(read_one("a.html", "<body><ul><li><a href=1>first entry</a><li><a href=2>second entry</a><li><a href=3>third entry</a></ul></body>").text, "second entry"));
  EXPECT_TRUE(holds(read_one("b.html", "<body><div class=menu><p>The dish of the day is carp with rice.</p></div></body>").text, "carp"));
}

TEST(Boilerplate, JudgesByWholeWordsOfNames) {
  for (const char* name : {"nav", "main-nav", "SideBar sidebar", "site_footer", "adSlot", "x ads", "commentList"}) EXPECT_TRUE(names_boilerplate(name)) << name;
  for (const char* name : {"", "content", "shadow", "header", "adaptive", "navy", "article-body", "menus"}) EXPECT_FALSE(names_boilerplate(name)) << name;
}

TEST(Dates, AreReadInTheFormsThatPagesAndMailUse) {
  EXPECT_EQ(iso_date("2024年3月5日 08:00"), "2024-03-05");
  EXPECT_EQ(iso_date("2024/12/31"), "2024-12-31");
  EXPECT_EQ(iso_date("20240305"), "2024-03-05");
  EXPECT_EQ(iso_date("2024-03-05T08:00:00+08:00"), "2024-03-05T08:00:00+08:00");
  for (const char* day : {"2024/3/5", "2024-3-5 9:00", "2024-03-05 10:00:00 CST", "2024年3月5日 下午3:00 +0800", "March 5, 2024", "5th Mar. 2024", "2024 Mar 5",
                          "Tue Mar  5 10:00:00 2024"})
    EXPECT_EQ(iso_date(day), "2024-03-05") << day;
  for (const char* moment : {"2024-03-05 08:00:00 +0800", "2024/3/5 8:00+08", "Tue, 5 Mar 2024 08:00:00 +0800", "Tue Mar 05 2024 08:00:00 GMT+0800 (China Standard Time)"})
    EXPECT_EQ(iso_date(moment), "2024-03-05T08:00:00+08:00") << moment;
  EXPECT_EQ(iso_date("1709625600"), "2024-03-05T08:00:00Z");
  EXPECT_EQ(iso_date("1709625600999"), "2024-03-05T08:00:00Z");
  for (const char* kept : {"2024", "2024-03", "2024-03-05 08:00", "2024-03-05T08:00:00.5Z"}) EXPECT_EQ(iso_date(kept), kept);
  for (const char* wrong : {"", "yesterday", "2024-13-01", "2024-02-30", "5 March", "March 2024", "03/05/2024", "20241305", "12345678"}) EXPECT_EQ(iso_date(wrong), "") << wrong;
  EXPECT_EQ(mail_date("Tue, 5 Mar 2024 23:30:00 -0200 (comment)"), "2024-03-06T01:30:00Z");
  EXPECT_EQ(mail_date("05 Mar 99 01:02:03 GMT"), "1999-03-05T01:02:03Z");
  for (const char* wrong : {"", "Tue, 5 Foo 2024 23:30:00", "99 Mar 2024 1:2:3", "Tue"}) EXPECT_EQ(mail_date(wrong), "") << wrong;
}

TEST(Encodings, AreGuessedFromAFewWords) {
  const std::string simplified = "苍鹭是一种大型涉禽，它们在水中等待。", traditional = "蒼鷺是一種大型涉禽，牠們在水中等待。";
  EXPECT_EQ(guess_encoding("\xB2\xD4\xF0\xD8\xCA\xC7\xD2\xBB\xD6\xD6\xB4\xF3\xD0\xCD\xC9\xE6\xC7\xDD"), "gb18030");
  EXPECT_EQ(decode_text("\xBB\x61\xC6\x4F\xAC\x4F\xA4\x40\xBA\xD8\xA4\x6A\xAB\xAC\xAA\xBA\xB3\xBE").text.substr(6), "是一種大型的鳥");
  for (const std::string& text : {simplified, traditional}) {
    std::string little, big;
    for (char32_t c : utf8_to_utf32(text)) {
      little += {static_cast<char>(c & 0xFF), static_cast<char>(c >> 8)};
      big += {static_cast<char>(c >> 8), static_cast<char>(c & 0xFF)};
    }
    EXPECT_EQ(decode_text(little).text, text);
    EXPECT_EQ(decode_text(big).text, text);
    EXPECT_EQ(decode_text("\xFF\xFE" + little).text, text);
  }
  std::string english;
  for (char c : std::string("The heron waits in the water.\r\n")) english += {c, '\0'};
  EXPECT_EQ(decode_text(english).text, "The heron waits in the water.\r\n");
}

TEST(Encodings, DamagedUtf8StaysUtf8) {
  const DecodedText got = decode_text("苍鹭是一种大型涉禽\xFF，它们在水中等待。");
  EXPECT_EQ(got.text, "苍鹭是一种大型涉禽\uFFFD，它们在水中等待。");
  EXPECT_FALSE(got.problem.empty());
}

TEST(PageText, JoinsLinesAndLeavesRunningTitlesOut) {
  const char* const birds[] = {"heron", "otter", "grebe", "stork", "crane"};
  std::vector<std::string> pages;
  for (size_t i = 0; i < 5; ++i) {
    const std::string bird = birds[i];
    pages.push_back("Annual report of the wetland\n\nThe " + bird + " is an animal that waits in shallow wa-\nter for fish to come near, and it does not move at\n" +
                    "all for a " + bird + ".\n\nPage " + std::to_string(i + 1) + "\n");
  }
  const Extracted got = join_pages({pages.begin(), pages.end()});
  EXPECT_TRUE(got.text.starts_with("The heron is an animal that waits in shallow water for fish to come near, and it does not move at all for a heron.\n")) << got.text;
  EXPECT_EQ(got.text.find("Annual report"), std::string::npos);
  EXPECT_EQ(got.text.find("Page"), std::string::npos);
  ASSERT_EQ(got.marks.size(), 5u);
  EXPECT_EQ(got.marks[4].locator.number, 5u);

  const Extracted chinese = join_pages({"苍鹭是一种大型涉禽栖息于湖泊和河\n流的浅水处。它们以鱼类为食，站在\n水中等待。\n"});
  EXPECT_EQ(chinese.text, "苍鹭是一种大型涉禽栖息于湖泊和河流的浅水处。它们以鱼类为食，站在水中等待。");
}

TEST_F(FormatsTest, ArchivesThatUnpackToTooMuchAreRefused) {
  ArchiveParts parts = docx_parts();
  parts[1].second = "<w:document xmlns:w=\"w\"><w:t>" + std::string(size_t{65} << 20, 'x') + "</w:t></w:document>";
  const std::string bomb = make_archive(parts);
  ASSERT_LT(bomb.size(), size_t{1} << 20);
  EXPECT_EQ(problem_of("a.docx", bomb).code(), StatusCode::limit_exceeded);
}

TEST_F(FormatsTest, XmlThatDeclaresEntitiesOrNestsWithoutEndIsRefused) {
  ArchiveParts parts = docx_parts();
  parts[1].second = "<!DOCTYPE d [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]><w:document xmlns:w=\"w\"><w:t>&b;</w:t></w:document>";
  EXPECT_EQ(problem_of("a.docx", make_archive(parts)).code(), StatusCode::corrupt);
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "<w:p>";
  parts[1].second = "<w:document xmlns:w=\"w\">" + deep;
  EXPECT_EQ(problem_of("b.docx", make_archive(parts)).code(), StatusCode::limit_exceeded);
}

TEST_F(FormatsTest, MailThatNestsWithoutEndIsRefused) {
  std::string mail = "Subject: deep\n";
  for (int i = 0; i < 1000; ++i) mail += "Content-Type: message/rfc822\n\nSubject: deeper\n";
  EXPECT_EQ(problem_of("a.eml", mail + "\ntext").code(), StatusCode::limit_exceeded);
}

TEST_F(FormatsTest, AFileThatTakesTooLongIsLeft) {
  write("a.docx", make_archive(docx_parts()));
  write("b.txt", "The heron.");
  ReadOptions options;
  options.max_file_seconds = 0;
  const Read got = read(folder_, options);
  ASSERT_EQ(got.problems.size(), 2u);
  EXPECT_EQ(got.problems[0].code(), StatusCode::limit_exceeded);
}

}  // namespace
}  // namespace wenqu::retrieval
