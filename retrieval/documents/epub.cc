#include "retrieval/documents/epub.h"

#include <map>
#include <vector>

#include "base/utf8.h"
#include "retrieval/documents/archive.h"
#include "retrieval/documents/dates.h"
#include "retrieval/documents/decode.h"
#include "retrieval/documents/html.h"
#include "retrieval/documents/office_properties.h"
#include "retrieval/documents/read_limits.h"
#include "retrieval/documents/xml.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxSections = 10'000;

// META-INF/container.xml names the package file.
class ContainerVisitor : public XmlVisitor {
 public:
  std::string package;
  void open(std::string_view name, const XmlAttributes& attributes) override {
    if (name == "rootfile" && package.empty()) package = attributes["full-path"];
  }
  void close(std::string_view) override {}
  void text(std::string_view) override {}
};

// The package file: the book's properties, its parts, and the order in which they are read.
class PackageVisitor : public PropertiesVisitor {
 public:
  explicit PackageVisitor(Extracted& out) : PropertiesVisitor(out) {}
  std::map<std::string, std::string, std::less<>> parts;   // by id
  std::vector<std::string> order;                          // ids

  void open(std::string_view name, const XmlAttributes& attributes) override {
    PropertiesVisitor::open(name, attributes);
    if (name == "item") {
      const std::string_view type = attributes["media-type"];
      const bool is_text = type == "application/xhtml+xml" || type == "text/html";
      if (is_text && attributes["properties"].find("nav") == std::string_view::npos)
        parts.emplace(attributes["id"], attributes["href"]);
    } else if (name == "itemref" && order.size() < kMaxSections) {
      order.emplace_back(attributes["idref"]);
    }
  }
};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// "text/ch%201.xhtml#top" beside "OPS/book.opf" is "OPS/text/ch 1.xhtml".
std::string part_name(const std::string& package, std::string_view href) {
  std::string name = package.substr(0, package.rfind('/') + 1);
  href = href.substr(0, href.find('#'));
  for (size_t i = 0; i < href.size(); ++i) {
    const bool coded = href[i] == '%' && i + 2 < href.size() && hex_digit(href[i + 1]) >= 0 && hex_digit(href[i + 2]) >= 0;
    if (coded) {
      name += static_cast<char>(hex_digit(href[i + 1]) * 16 + hex_digit(href[i + 2]));
      i += 2;
    } else if (href.substr(i).starts_with("../") && (name.empty() || name.back() == '/')) {
      if (!name.empty()) name.pop_back();
      name.erase(name.rfind('/') == std::string::npos ? 0 : name.rfind('/') + 1);
      i += 2;
    } else {
      name += href[i];
    }
  }
  return name;
}

}  // namespace

Result<Extracted> extract_epub(std::string_view bytes, const CancelToken& cancel) {
  WENQU_ASSIGN_OR_RETURN(Archive archive, Archive::open(bytes));
  WENQU_ASSIGN_OR_RETURN(const std::string container, archive.read("META-INF/container.xml", cancel));
  ContainerVisitor found;
  WENQU_RETURN_IF_ERROR(visit_xml(container, found, cancel).at("META-INF/container.xml"));
  if (found.package.empty()) return Status(StatusCode::corrupt, "the book names no package file", "META-INF/container.xml");
  if (archive.read("META-INF/rights.xml", cancel))
    return Status(StatusCode::unsupported, "the book is under copy protection");
  WENQU_ASSIGN_OR_RETURN(const std::string package_text, archive.read(found.package, cancel));
  Extracted out;
  PackageVisitor package(out);
  WENQU_RETURN_IF_ERROR(visit_xml(package_text, package, cancel).at(found.package));

  Status first_problem;
  size_t characters = 0;
  uint64_t section = 0;
  for (const std::string& id : package.order) {
    const auto part = package.parts.find(id);
    if (part == package.parts.end()) continue;
    WENQU_RETURN_IF_ERROR(cancel.status());
    ++section;
    const Result<std::string> page = archive.read(part_name(found.package, part->second), cancel);
    if (!page) {
      if (page.status().code() != StatusCode::not_found && page.status().code() != StatusCode::corrupt) return page.status();
      if (first_problem) first_problem = page.status();
      continue;
    }
    const std::string text = extract_html(decode_text(*page).text, /*is_xhtml=*/true).text;
    if (text.empty()) continue;
    if (out.text.size() + text.size() > kMaxTextBytesOfFile)
      return Status(StatusCode::limit_exceeded, "the book holds too much text");
    if (!out.text.empty()) {
      out.text += "\n\n";
      characters += 2;
    }
    out.marks.push_back({static_cast<uint32_t>(characters), {Locator::Kind::section, section}});
    out.text += text;
    characters += utf8_length(text);
  }
  if (out.text.empty() && !first_problem) return first_problem;
  out.published_at = iso_date(out.published_at);
  return out;
}

}  // namespace wenqu::retrieval
