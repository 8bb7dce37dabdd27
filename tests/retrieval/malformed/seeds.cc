#include "malformed/seeds.h"

#include <zip.h>

namespace wenqu::retrieval {
namespace {

const char* const kWordNamespace = "xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"";

const char* const kHtml = R"(<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Herons &amp; others</title>
<meta property="og:title" content="The heron"><meta name="author" content="Li Hua"><meta name="date" content="2024-03-05">
<style>p { color: red }</style><script>if (a < b) document.write("<p>no</p>");</script></head>
<body class="page"><nav><ul><li><a href="/">Home</a></li></ul></nav><div class="sidebar"><a href="#">More</a></div>
<article><h1>The heron</h1><p>The heron is a <b>large <i>wading</b></i> bird.<br>It waits &#8212; and waits.</p>
<table><tr><td>height<td>98 cm</table><pre>  a
  b</pre><ul><li>one<li>two</ul><svg><path d="M0 0"/></svg></article><footer>(c)</footer></body></html>)";

const char* const kWeChat = R"(<html><head><meta property="og:title" content="苍鹭的春天">
<meta property="og:url" content="https://mp.weixin.qq.com/s/abc"></head><body><div id="js_article">
<h1 class="rich_media_title" id="activity-name">苍鹭的春天</h1><a id="js_name">湿地观察</a><em id="publish_time"></em>
<div class="rich_media_content" id="js_content" style="visibility: hidden;"><p>春天，苍鹭 heron 回到了湿地。</p>
<section><span>它们开始筑巢。</span></section></div></div><script>var nickname = htmlDecode("湿地观察");var ct = "1709625600";</script></body></html>)";

const char* const kMarkdown = "---\ntitle: The heron\nauthor: Li Hua\ndate: 2024-03-05\n---\n# The *heron*\n\nIt waits.\n\n"
                              "- one\n  - two\n\n> quoted\n\n```c\nint heron;\n```\n\n|a|b|\n|-|-|\n|1|2|\n\n[link](http://e.org \"t\") ![i](j) <b>x</b>\n";

const char* const kMail =
    "From: =?UTF-8?B?5p2O5Y2O?= <lihua@example.org>\r\nTo: b@example.org\r\nSubject: =?GB2312?Q?=B2=D4=F0=D8?= heron\r\n"
    "Date: Tue, 05 Mar 2024 08:00:00 +0800\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b1\"\r\n\r\n"
    "--b1\r\nContent-Type: multipart/alternative; boundary=b2\r\n\r\n--b2\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: quoted-printable\r\n\r\nThe heron =E8=8B=8D=E9=B9=AD waits=\r\n still.\r\n--b2\r\n"
    "Content-Type: text/html\r\n\r\n<p>The heron</p>\r\n--b2--\r\n--b1\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\n"
    "An inner heron.\r\n--b1\r\nContent-Type: text/plain; charset=gb18030\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    "stTw2NTay67W0LXItP2howo=\r\n--b1\r\nContent-Disposition: attachment; filename=a.bin\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b1--\r\n";

}  // namespace

std::string make_archive(const ArchiveParts& parts) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* memory = zip_source_buffer_create(nullptr, 0, 0, &error);
  if (!memory) return {};
  zip_source_keep(memory);
  zip_t* archive = zip_open_from_source(memory, ZIP_TRUNCATE, &error);
  if (!archive) return {};
  for (const auto& [name, content] : parts) {
    zip_source_t* source = zip_source_buffer(archive, content.data(), content.size(), 0);
    if (!source || zip_file_add(archive, name.c_str(), source, ZIP_FL_ENC_UTF_8 | ZIP_FL_OVERWRITE) < 0) zip_source_free(source);
  }
  if (zip_close(archive) != 0) {
    zip_discard(archive);
    zip_source_free(memory);
    return {};
  }
  std::string bytes;
  zip_stat_t info;
  if (zip_source_stat(memory, &info) == 0 && zip_source_open(memory) == 0) {
    bytes.resize(info.size);
    const zip_int64_t got = zip_source_read(memory, bytes.data(), bytes.size());
    bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
    zip_source_close(memory);
  }
  zip_source_free(memory);
  return bytes;
}

ArchiveParts docx_parts() {
  const std::string body = std::string("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><w:document ") + kWordNamespace +
      "><w:body><w:p><w:pPr><w:pStyle w:val=\"Heading1\"/></w:pPr><w:r><w:t>The heron</w:t></w:r></w:p>"
      "<w:p><w:r><w:t xml:space=\"preserve\">A large </w:t></w:r><w:del><w:r><w:delText>small</w:delText></w:r></w:del><w:r><w:t>wading bird &amp; more.</w:t><w:tab/></w:r></w:p>"
      "<w:p><w:r><w:lastRenderedPageBreak/><w:t>苍鹭在第二页。</w:t><w:br/></w:r></w:p>"
      "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>height</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>98</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
      "<w:p><w:r><w:fldChar/><w:instrText>PAGE</w:instrText><w:t>end</w:t></w:r></w:p></w:body></w:document>";
  const std::string notes = std::string("<w:footnotes ") + kWordNamespace + "><w:footnote><w:p><w:r><w:t>A note on herons.</w:t></w:r></w:p></w:footnote></w:footnotes>";
  return {{"[Content_Types].xml", "<Types/>"},
          {"word/document.xml", body},
          {"word/footnotes.xml", notes},
          {"docProps/core.xml",
           "<cp:coreProperties xmlns:cp=\"c\" xmlns:dc=\"d\" xmlns:dcterms=\"t\"><dc:title>Herons</dc:title><dc:creator>Li Hua</dc:creator>"
           "<dcterms:created>2024-03-05T08:00:00Z</dcterms:created></cp:coreProperties>"}};
}

ArchiveParts epub_parts() {
  return {{"mimetype", "application/epub+zip"},
          {"META-INF/container.xml",
           "<container><rootfiles><rootfile full-path=\"OPS/book.opf\" media-type=\"application/oebps-package+xml\"/></rootfiles></container>"},
          {"OPS/book.opf",
           "<package xmlns:dc=\"d\"><metadata><dc:title>The heron book</dc:title><dc:creator>Li Hua</dc:creator><dc:date>2024-03-05</dc:date></metadata>"
           "<manifest><item id=\"n\" href=\"nav.xhtml\" media-type=\"application/xhtml+xml\" properties=\"nav\"/>"
           "<item id=\"a\" href=\"text/ch%201.xhtml\" media-type=\"application/xhtml+xml\"/>"
           "<item id=\"b\" href=\"text/../ch2.xhtml#top\" media-type=\"application/xhtml+xml\"/></manifest>"
           "<spine><itemref idref=\"n\"/><itemref idref=\"a\"/><itemref idref=\"b\"/></spine></package>"},
          {"OPS/nav.xhtml", "<html><body>contents</body></html>"},
          {"OPS/text/ch 1.xhtml", "<html xmlns=\"http://www.w3.org/1999/xhtml\"><head><title/></head><body><h1>One</h1><p>The heron waits.</p></body></html>"},
          {"OPS/ch2.xhtml", "<html><body><h1>Two</h1><p>苍鹭飞走了。</p></body></html>"}};
}

std::string make_pdf(const std::vector<std::string>& pages) {
  std::string pdf = "%PDF-1.4\n";
  std::vector<size_t> places;
  const auto object = [&](const std::string& content) {
    places.push_back(pdf.size());
    pdf += std::to_string(places.size()) + " 0 obj\n" + content + "\nendobj\n";
  };
  object("<< /Type /Catalog /Pages 2 0 R >>");
  std::string kids;
  for (size_t i = 0; i < pages.size(); ++i) kids += std::to_string(5 + 2 * i) + " 0 R ";
  object("<< /Type /Pages /Kids [" + kids + "] /Count " + std::to_string(pages.size()) + " >>");
  object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
  object("<< /Title (The heron) /Author (Li Hua) /CreationDate (D:20240305080000Z) >>");
  for (size_t i = 0; i < pages.size(); ++i) {
    object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> /Contents " +
           std::to_string(6 + 2 * i) + " 0 R >>");
    std::string stream = "BT /F1 12 Tf 14 TL 72 770 Td\n", line;
    for (char c : pages[i] + "\n") {
      if (c != '\n') line += c;
      else stream += "(" + std::exchange(line, {}) + ") Tj T*\n";
    }
    stream += "ET\n";
    object("<< /Length " + std::to_string(stream.size()) + " >>\nstream\n" + stream + "endstream");
  }
  const size_t table = pdf.size();
  pdf += "xref\n0 " + std::to_string(places.size() + 1) + "\n0000000000 65535 f \n";
  for (size_t place : places) {
    const std::string digits = std::to_string(place);
    pdf += std::string(10 - digits.size(), '0') + digits + " 00000 n \n";
  }
  return pdf + "trailer\n<< /Size " + std::to_string(places.size() + 1) + " /Root 1 0 R /Info 4 0 R >>\nstartxref\n" + std::to_string(table) + "\n%%EOF\n";
}

std::vector<std::string> seeds_of(const std::string& extension) {
  if (extension == ".txt") return {"The heron waits.\n\n苍鹭在水中等待。\n", std::string("\xFE\xFF\0h\0e\0r\0o\0n\0.", 14), "\xB2\xD4\xF0\xD8\xCA\xC7\xD2\xBB\xD6\xD6\xC4\xF1\xA1\xA3 heron"};
  if (extension == ".md") return {kMarkdown};
  if (extension == ".html") return {kHtml, kWeChat};
  if (extension == ".pdf") return {make_pdf({"The heron\nis a large wading bird.", "It waits in the water."})};
  if (extension == ".docx") return {make_archive(docx_parts())};
  if (extension == ".epub") return {make_archive(epub_parts())};
  if (extension == ".csv") return {"name,height\n\"heron, grey\",98\n\"a \"\"b\"\"\",\n", "id,text,topic\n1,The heron,birds\n2,\"two\nlines\",x\n"};
  if (extension == ".tsv") return {"name\theight\nheron\t98\n"};
  if (extension == ".jsonl")
    return {"{\"id\":\"1\",\"text\":\"The heron\",\"title\":\"\\u82cd\\u9e6d\",\"attributes\":{\"a\":1.5,\"b\":true}}\n"
            "{\"id\":\"2\",\"text\":\"Another\",\"marks\":[{\"begin\":0,\"kind\":\"time\",\"number\":61000}],\"source\":\"video\"}\n"};
  if (extension == ".eml") return {kMail};
  if (extension == ".srt") return {"1\n00:00:01,000 --> 00:00:03,500\n<i>The heron</i>\n\n2\n01:01:05,000 --> 01:01:09,000\n{\\an8}waits &amp; waits\n"};
  if (extension == ".vtt") return {"WEBVTT\n\nNOTE a note\n\nSTYLE\n::cue {}\n\n00:01.000 --> 00:03.000 align:start\n<v Bob>The heron\n\n1:02:03.000 --> 1:02:05.000\n苍鹭\n"};
  return {};
}

}  // namespace wenqu::retrieval
