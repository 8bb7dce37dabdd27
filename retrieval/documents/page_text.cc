#include "retrieval/documents/page_text.h"

#include <algorithm>
#include <unordered_map>

#include <unicode/uchar.h>

#include "base/utf8.h"
#include "retrieval/analysis/char_class.h"
#include "retrieval/documents/text_builder.h"
#include "retrieval/documents/trimmed.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kEdgeLines = 2;       // at the top and at the foot of a page may be running ones
constexpr size_t kMinPages = 4;        // to tell what runs over them
constexpr size_t kMaxRunningBytes = 200;

std::vector<std::string_view> lines_of(std::string_view page) {
  std::vector<std::string_view> lines;
  while (!page.empty()) {
    const size_t end = std::min(page.find('\n'), page.size());
    lines.push_back(trimmed(page.substr(0, end)));
    page.remove_prefix(std::min(end + 1, page.size()));
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

// The line with every number as '0', so that "page 3" and "page 14" are the same.
std::string pattern_of(std::string_view line) {
  std::string pattern;
  for (char c : line) {
    if (c < '0' || c > '9') pattern += c;
    else if (pattern.empty() || pattern.back() != '0') pattern += '0';
  }
  return pattern;
}

// Calls `visit` for the first and last lines of a page that are not blank.
template <typename Visit>
void for_edges(const std::vector<std::string_view>& lines, Visit&& visit) {
  std::vector<size_t> edges;
  for (size_t i = 0; i < lines.size() && edges.size() < kEdgeLines; ++i)
    if (!lines[i].empty()) edges.push_back(i);
  const size_t top = edges.size();
  for (size_t i = lines.size(); i > 0 && edges.size() < top + kEdgeLines; --i)
    if (!lines[i - 1].empty() && std::find(edges.begin(), edges.end(), i - 1) == edges.end()) edges.push_back(i - 1);
  for (size_t i : edges)
    if (lines[i].size() <= kMaxRunningBytes) visit(i);
}

void remove_running_lines(std::vector<std::vector<std::string_view>>& pages) {
  if (pages.size() < kMinPages) return;
  std::unordered_map<std::string, size_t> seen;
  for (const auto& lines : pages) for_edges(lines, [&](size_t i) { ++seen[pattern_of(lines[i])]; });
  for (auto& lines : pages) {
    std::vector<size_t> running;
    for_edges(lines, [&](size_t i) {
      if (seen[pattern_of(lines[i])] * 2 > pages.size()) running.push_back(i);
    });
    for (size_t i : running) lines[i] = {};
  }
}

char32_t first_of(std::string_view line) {
  size_t at = 0;
  return utf8_next(line, at);
}

char32_t last_of(std::string_view line) {
  size_t at = line.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(line[at]) & 0xC0) == 0x80) --at;
  return utf8_next(line, at);
}

bool is_chinese(char32_t c) { return classify(c) == CharClass::syllable; }
bool ends_sentence(char32_t c) { return std::u32string_view(U".!?。！？：:；…”」』").find(c) != std::u32string_view::npos; }

// Columns: a Chinese character takes two.
size_t width_of(std::string_view line) {
  size_t width = 0;
  for (size_t at = 0; at < line.size();) width += utf8_next(line, at) >= 0x2E80 ? 2 : 1;
  return width;
}

class PageJoiner {
 public:
  Extracted run(const std::vector<std::vector<std::string_view>>& pages) {
    for (size_t page = 0; page < pages.size(); ++page) {
      text_.mark({Locator::Kind::page, page + 1});
      add_page(pages[page]);
    }
    Extracted out;
    out.marks = text_.marks();
    out.text = text_.take();
    return out;
  }

 private:
  void add_page(const std::vector<std::string_view>& lines) {
    widest_ = 0;
    for (std::string_view line : lines) widest_ = std::max(widest_, width_of(line));
    bool first = true, blank = false;
    for (std::string_view line : lines) {
      if (line.empty()) {
        blank = true;
        continue;
      }
      // A blank line at a page's begin says nothing: the paragraph may go on from the page before.
      join(line, blank && !first);
      first = blank = false;
    }
  }

  // Adds a line after the one before it, `last_`.
  void join(std::string_view line, bool blank_before) {
    if (blank_before) {
      text_.break_paragraph();
    } else if (!last_.empty()) {
      const char32_t before = last_of(last_), after = first_of(line);
      const bool full = last_width_ * 10 >= last_widest_ * 7;   // a short line ends a heading or a paragraph
      if (!full || (ends_sentence(before) && last_width_ * 20 < last_widest_ * 19)) text_.break_line();
      else if (divided_) divided_ = false;   // the word goes on
      else if (!(is_chinese(after) && (is_chinese(before) || before > 0x2E80))) text_.add(" ");
    }
    const bool hyphen = line.size() > 2 && line.back() == '-' && u_isalpha(static_cast<UChar32>(last_of(line.substr(0, line.size() - 1))));
    divided_ = hyphen;
    text_.add(hyphen ? line.substr(0, line.size() - 1) : line);
    last_ = line;
    last_width_ = width_of(line);
    last_widest_ = widest_;
  }

  TextBuilder text_;
  std::string_view last_;
  size_t last_width_ = 0, last_widest_ = 0, widest_ = 0;
  bool divided_ = false;
};

}  // namespace

Extracted join_pages(const std::vector<std::string_view>& pages) {
  std::vector<std::vector<std::string_view>> lines;
  for (std::string_view page : pages) lines.push_back(lines_of(page));
  remove_running_lines(lines);
  return PageJoiner().run(lines);
}

}  // namespace wenqu::retrieval
