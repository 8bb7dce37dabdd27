#include "retrieval/documents/pdf.h"

#include <algorithm>
#include <vector>

#include "base/utf8.h"
#include "retrieval/documents/dates.h"
#include "retrieval/documents/page_text.h"

namespace wenqu::retrieval {
namespace {

// What pdfinfo says: "Title:          The heron".
void read_properties(std::string_view properties, Extracted& out) {
  while (!properties.empty()) {
    const size_t end = std::min(properties.find('\n'), properties.size());
    const std::string_view line = properties.substr(0, end);
    const size_t value = line.find_first_not_of(' ', std::min(line.find(':'), line.size() - (line.empty() ? 0 : 1)) + 1);
    if (value != std::string_view::npos) {
      if (line.starts_with("Title:")) out.title = utf8_sanitize(line.substr(value));
      if (line.starts_with("Author:")) out.author = utf8_sanitize(line.substr(value));
      if (line.starts_with("CreationDate:")) out.published_at = iso_date(line.substr(value));
    }
    properties.remove_prefix(std::min(end + 1, properties.size()));
  }
  // What writing programs put there by themselves is no title.
  const auto ends_like_a_file = [&](std::string_view extension) { return out.title.ends_with(extension); };
  if (out.title.starts_with("Microsoft Word") || out.title.starts_with("Microsoft PowerPoint") || out.title == "untitled" ||
      out.title == "Untitled" || ends_like_a_file(".doc") || ends_like_a_file(".docx") || ends_like_a_file(".dvi") ||
      ends_like_a_file(".indd"))
    out.title.clear();
}

}  // namespace

Result<Extracted> extract_pdf(int file, const ChildLimits& limits, const CancelToken& cancel) {
  Result<std::string> output = run_child({"pdftotext", "-q", "-enc", "UTF-8", "-eol", "unix", "-", "-"}, file, limits, cancel);
  if (!output && output.status().code() == StatusCode::not_found)
    return Status(StatusCode::unsupported, "reading PDF needs the program pdftotext: install poppler-utils");
  if (!output) return output.status();
  const std::string text = utf8_sanitize(*output);
  std::vector<std::string_view> pages;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = std::min(rest.find('\f'), rest.size());
    pages.push_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  Extracted out = join_pages(pages);
  if (out.text.empty()) return out;
  // Properties are an extra: without them the file's name is the title.
  if (const Result<std::string> properties = run_child({"pdfinfo", "-enc", "UTF-8", "-isodates", "-"}, file, limits, cancel))
    read_properties(*properties, out);
  WENQU_RETURN_IF_ERROR(cancel.status());
  return out;
}

}  // namespace wenqu::retrieval
