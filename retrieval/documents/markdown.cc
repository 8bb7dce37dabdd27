#include "retrieval/documents/markdown.h"

#include <algorithm>
#include <memory>

#include <cmark.h>

#include "base/utf8.h"
#include "retrieval/analysis/char_class.h"
#include "retrieval/documents/html.h"
#include "retrieval/documents/text_builder.h"
#include "retrieval/documents/trimmed.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxFrontMatter = 64 << 10;

// The value after "key:", without quotes.
std::string_view value_of(std::string_view line) {
  std::string_view value = trimmed(line.substr(line.find(':') + 1));
  if (value.size() >= 2 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0])
    value = value.substr(1, value.size() - 2);
  return value;
}

// Takes simple front matter off `markdown`, if there is any.
void read_front_matter(std::string_view& markdown, Extracted& out) {
  if (!markdown.starts_with("---\n") && !markdown.starts_with("---\r\n")) return;
  const size_t end = markdown.substr(0, kMaxFrontMatter).find("\n---", 3);
  if (end == std::string_view::npos) return;
  const size_t after = end + 4;
  if (after < markdown.size() && markdown[after] != '\n' && markdown[after] != '\r') return;
  for (size_t begin = markdown.find('\n') + 1; begin < end;) {
    const size_t line_end = std::min(markdown.find('\n', begin), end);
    const std::string_view line = markdown.substr(begin, line_end - begin);
    if (line.starts_with("title:")) out.title = value_of(line);
    if (line.starts_with("author:")) out.author = value_of(line);
    if (line.starts_with("date:")) out.published_at = value_of(line);
    begin = line_end + 1;
  }
  markdown.remove_prefix(after);
}

char32_t first_character(std::string_view text) {
  size_t pos = 0;
  return text.empty() ? 0 : utf8_next(text, pos);
}

std::string_view literal(cmark_node* node) {
  const char* text = cmark_node_get_literal(node);
  return text ? std::string_view(text) : std::string_view();
}

class MarkdownExtractor {
 public:
  explicit MarkdownExtractor(Extracted& out) : out_(out) {}

  void run(std::string_view markdown) {
    struct Free {
      void operator()(cmark_node* node) const { cmark_node_free(node); }
      void operator()(cmark_iter* iter) const { cmark_iter_free(iter); }
    };
    const std::unique_ptr<cmark_node, Free> root(
        cmark_parse_document(markdown.data(), markdown.size(), CMARK_OPT_DEFAULT));
    if (!root) return;
    const std::unique_ptr<cmark_iter, Free> iter(cmark_iter_new(root.get()));
    for (cmark_event_type event; (event = cmark_iter_next(iter.get())) != CMARK_EVENT_DONE;)
      visit(cmark_iter_get_node(iter.get()), event == CMARK_EVENT_ENTER);
    out_.text = text_.take();
  }

 private:
  void visit(cmark_node* node, bool entering) {
    switch (cmark_node_get_type(node)) {
      case CMARK_NODE_HEADING:
        in_title_ = entering && out_.title.empty();
        text_.break_paragraph();
        break;
      case CMARK_NODE_PARAGRAPH:
        in_list_item(node) ? text_.break_line() : text_.break_paragraph();
        // Tables are an extension that cmark reads as paragraphs: their lines are rows.
        if (entering) in_table_ = first_text(node).starts_with("|");
        break;
      case CMARK_NODE_ITEM:
        text_.break_line();
        if (entering) text_.add("- ");
        break;
      case CMARK_NODE_LIST:
        in_list_item(node) ? text_.break_line() : text_.break_paragraph();
        break;
      case CMARK_NODE_TEXT:
      case CMARK_NODE_CODE:
        add(literal(node));
        break;
      case CMARK_NODE_CODE_BLOCK:
        text_.break_paragraph();
        text_.add_preformatted(literal(node));
        text_.break_paragraph();
        break;
      case CMARK_NODE_HTML_BLOCK:
        text_.break_paragraph();
        text_.add_preformatted(extract_html(literal(node)).text);
        text_.break_paragraph();
        break;
      case CMARK_NODE_SOFTBREAK:
        in_table_ ? text_.break_line() : add_soft_break(node);
        break;
      case CMARK_NODE_LINEBREAK:
        text_.break_line();
        break;
      default:
        break;
    }
  }

  static bool in_list_item(cmark_node* node) {
    cmark_node* parent = cmark_node_parent(node);
    return parent && cmark_node_get_type(parent) == CMARK_NODE_ITEM;
  }

  static std::string_view first_text(cmark_node* paragraph) {
    cmark_node* child = cmark_node_first_child(paragraph);
    return child && cmark_node_get_type(child) == CMARK_NODE_TEXT ? literal(child) : std::string_view();
  }

  // Chinese lines wrapped by hand join without a space.
  void add_soft_break(cmark_node* node) {
    cmark_node* next = cmark_node_next(node);
    const bool chinese = next && cmark_node_get_type(next) == CMARK_NODE_TEXT &&
                         classify(first_character(literal(next))) == CharClass::syllable;
    if (!chinese) add(" ");
  }

  void add(std::string_view text) {
    text_.add(text);
    if (in_title_) out_.title += text;
  }

  Extracted& out_;
  TextBuilder text_;
  bool in_title_ = false;
  bool in_table_ = false;
};

}  // namespace

Extracted extract_markdown(std::string_view markdown) {
  Extracted out;
  read_front_matter(markdown, out);
  MarkdownExtractor(out).run(markdown);
  return out;
}

}  // namespace wenqu::retrieval
