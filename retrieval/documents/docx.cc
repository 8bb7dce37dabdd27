#include "retrieval/documents/docx.h"

#include "base/utf8.h"
#include "retrieval/documents/archive.h"
#include "retrieval/documents/dates.h"
#include "retrieval/documents/office_properties.h"
#include "retrieval/documents/text_builder.h"
#include "retrieval/documents/xml.h"

namespace wenqu::retrieval {
namespace {

// The text of word/document.xml, word/footnotes.xml or word/endnotes.xml.
class BodyVisitor : public XmlVisitor {
 public:
  BodyVisitor(TextBuilder& text, std::string& first_heading) : text_(text), heading_(first_heading) {}

  // Where the program that wrote the file broke its pages.
  uint64_t pages() const { return page_; }

  void open(std::string_view name, const XmlAttributes& attributes) override {
    if (hidden_ > 0 || name == "Fallback" || name == "instrText" || name == "delText" || name == "del") {
      ++hidden_;
      return;
    }
    if (name == "p") {
      in_table_ > 0 ? text_.add(" ") : text_.break_paragraph();
    } else if (name == "pStyle") {
      const std::string_view style = attributes["val"];
      in_heading_ = heading_.empty() && (style.starts_with("Heading") || style.starts_with("heading") || style == "Title" || style == "1");
    } else if (name == "numPr") {
      if (in_table_ == 0) text_.break_line();
    } else if (name == "t") {
      in_text_ = true;
    } else if (name == "tab") {
      text_.add(" ");
    } else if (name == "br" || name == "cr") {
      text_.break_line();
    } else if (name == "tbl") {
      if (in_table_++ == 0) text_.break_paragraph();
    } else if (name == "tr") {
      text_.break_line();
    } else if (name == "lastRenderedPageBreak") {
      text_.mark({Locator::Kind::page, ++page_});
    }
  }

  void close(std::string_view name) override {
    if (hidden_ > 0) {
      --hidden_;
      return;
    }
    if (name == "t") in_text_ = false;
    if (name == "p") {
      in_heading_ = false;
      if (in_table_ == 0) text_.break_paragraph();
    }
    if (name == "tbl" && --in_table_ == 0) text_.break_paragraph();
  }

  void text(std::string_view piece) override {
    if (!in_text_ || hidden_ > 0) return;
    text_.add(piece);
    if (in_heading_) heading_ += piece;
  }

 private:
  TextBuilder& text_;
  std::string& heading_;
  uint64_t page_ = 1;
  int hidden_ = 0;      // elements open inside one that is left out
  int in_table_ = 0;
  bool in_text_ = false;
  bool in_heading_ = false;
};

}  // namespace

Result<Extracted> extract_docx(std::string_view bytes, const CancelToken& cancel) {
  WENQU_ASSIGN_OR_RETURN(Archive archive, Archive::open(bytes));
  WENQU_ASSIGN_OR_RETURN(const std::string body, archive.read("word/document.xml", cancel));
  Extracted out;
  TextBuilder text;
  std::string heading;
  text.mark({Locator::Kind::page, 1});
  BodyVisitor visitor(text, heading);
  WENQU_RETURN_IF_ERROR(visit_xml(body, visitor, cancel).at("word/document.xml"));
  // Without a broken page nothing is known of pages.
  if (visitor.pages() > 1) out.marks = text.marks();
  text.break_paragraph();
  // Notes and properties are extras: what is wrong with them costs them only.
  for (const char* part : {"word/footnotes.xml", "word/endnotes.xml"}) {
    const Result<std::string> notes = archive.read(part, cancel);
    if (!notes) continue;
    BodyVisitor note_visitor(text, heading);
    (void)visit_xml(*notes, note_visitor, cancel).is_ok();
    text.break_paragraph();
  }
  out.text = text.take();
  if (const Result<std::string> core = archive.read("docProps/core.xml", cancel)) {
    PropertiesVisitor properties(out);
    (void)visit_xml(*core, properties, cancel).is_ok();
  }
  WENQU_RETURN_IF_ERROR(cancel.status());
  out.published_at = iso_date(out.published_at);
  if (out.title.find_first_not_of(" \t\r\n") == std::string::npos) out.title = heading;
  return out;
}

}  // namespace wenqu::retrieval
