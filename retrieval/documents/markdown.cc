#include "retrieval/documents/markdown.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <cmark.h>

#include "base/utf8.h"
#include "retrieval/analysis/char_class.h"
#include "retrieval/documents/acl_names.h"
#include "retrieval/documents/dates.h"
#include "retrieval/documents/html.h"
#include "retrieval/documents/text_builder.h"
#include "retrieval/documents/trimmed.h"

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxFrontMatter = 64 << 10;
constexpr size_t kMaxTarget = 4096;   // what is longer is no address

// The value after "key:", without quotes.
std::string_view value_of(std::string_view line) { return unquoted(trimmed(line.substr(line.find(':') + 1))); }

// What stands before the colon, in small letters; a member of another one keeps the spaces before it.
std::string key_of(std::string_view line) {
  std::string key(line.substr(0, std::min(line.find(':'), line.size())));
  key.erase(key.find_last_not_of(" \t\r") + 1);
  for (char& c : key) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return std::string(unquoted(key));
}

// "ann; bob" or "[ann, bob]".
std::vector<std::string> read_acl(std::string_view value) {
  if (!value.starts_with('[') || !value.ends_with(']')) return acl_names(value);
  return acl_names(value.substr(1, value.size() - 2), ',');
}

// Takes simple front matter off `markdown`, if there is any.
void read_front_matter(std::string_view& markdown, Extracted& out) {
  if (!markdown.starts_with("---\n") && !markdown.starts_with("---\r\n")) return;
  const size_t end = markdown.substr(0, kMaxFrontMatter).find("\n---", 3);
  if (end == std::string_view::npos) return;
  const size_t after = end + 4;
  if (after < markdown.size() && markdown[after] != '\n' && markdown[after] != '\r') return;
  bool in_acl = false;
  for (size_t begin = markdown.find('\n') + 1; begin < end;) {
    const size_t line_end = std::min(markdown.find('\n', begin), end);
    const std::string_view line = markdown.substr(begin, line_end - begin);
    begin = line_end + 1;
    // The names of `acl:` may stand below it, each behind "- ". Whatever else stands there is nobody's name.
    if (in_acl && (line.starts_with(' ') || line.starts_with('\t') || line.starts_with('-'))) {
      const std::string_view item = trimmed(line);
      for (std::string& name : acl_names(unquoted(trimmed(item.substr(item.starts_with('-') ? 1 : 0))), '\n')) out.acl.push_back(std::move(name));
      continue;
    }
    if (line.find(':') == std::string_view::npos || line.starts_with('#')) continue;
    const std::string key = key_of(line);
    in_acl = key == "acl";
    if (in_acl) out.acl = read_acl(value_of(line));
    if (key == "title") out.title = value_of(line);
    if (key == "author") out.author = value_of(line);
    if (key == "date") out.published_at = iso_date(value_of(line));
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

struct Free {
  void operator()(cmark_node* node) const { cmark_node_free(node); }
  void operator()(cmark_iter* iter) const { cmark_iter_free(iter); }
};
using Tree = std::unique_ptr<cmark_node, Free>;

Tree parse(std::string_view markdown) { return Tree(cmark_parse_document(markdown.data(), markdown.size(), CMARK_OPT_DEFAULT)); }

template <typename Visit>
void walk(const Tree& tree, Visit&& visit) {
  const std::unique_ptr<cmark_iter, Free> iter(cmark_iter_new(tree.get()));
  for (cmark_event_type event; (event = cmark_iter_next(iter.get())) != CMARK_EVENT_DONE;)
    visit(cmark_iter_get_node(iter.get()), event == CMARK_EVENT_ENTER);
}

// Where "[label]:" begins in a line, behind the marks of quotes and lists; npos where it does not.
size_t definition_in(std::string_view line) {
  size_t at = 0;
  for (;;) {
    at = line.find_first_not_of(" \t>", at);
    if (at == std::string_view::npos) return at;
    const size_t digits = std::min(line.find_first_not_of("0123456789", at), line.size()) - at;
    const size_t mark = at + digits;
    const bool item = mark + 1 < line.size() && (line[mark + 1] == ' ' || line[mark + 1] == '\t') &&
                      std::string_view(digits > 0 ? ".)" : "-+*").find(line[mark]) != std::string_view::npos;
    if (!item) break;
    at = mark + 2;
  }
  if (line[at] != '[') return std::string_view::npos;
  for (size_t i = at + 1; i + 1 < line.size(); ++i) {
    if (line[i] == '\\') ++i;
    else if (line[i] == '[') return std::string_view::npos;
    else if (line[i] == ']') return line[i + 1] == ':' ? at : std::string_view::npos;
  }
  return std::string_view::npos;
}

// The first word of a text, or what stands between "<" and ">" in its line.
std::string_view target_of(std::string_view text) {
  text = trimmed(text);
  text = text.substr(0, text.find_first_of("\r\n"));
  if (text.starts_with('<')) return text.substr(1, std::min(text.find('>'), text.size()) - 1);
  return text.substr(0, text.find_first_of(" \t\r\n"));
}

// An address or a path, as the targets of links are: no word, date or number.
bool is_address(std::string_view target) {
  const bool named = std::any_of(target.begin(), target.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
  return target.starts_with('#') || target.starts_with('/') || target.starts_with('.') || target.starts_with("mailto:") ||
         (named && target.find_first_of("./") != std::string_view::npos);
}

// cmark takes "[label]: word" for where the links of that label lead, and leaves it out. But notes are written so ("[^1]: ..."),
// and much else ("[TODO]: ..."). Gives the text with a backslash before each that no link uses; "" where there is none.
std::string keep_definitions(std::string_view markdown, const Tree& tree) {
  if (markdown.find("]:") == std::string_view::npos) return {};
  std::set<std::string, std::less<>> used;
  std::vector<std::pair<int, int>> literal_lines;   // of code and HTML, in order
  walk(tree, [&](cmark_node* node, bool) {
    const cmark_node_type type = cmark_node_get_type(node);
    if (type == CMARK_NODE_LINK || type == CMARK_NODE_IMAGE) used.insert(cmark_node_get_url(node));
    if (type == CMARK_NODE_CODE_BLOCK || type == CMARK_NODE_HTML_BLOCK)
      literal_lines.emplace_back(cmark_node_get_start_line(node), cmark_node_get_end_line(node));
  });
  std::string kept;
  bool found = false, in_paragraph = false;   // of one that is kept, in which nothing can be defined
  auto literal_block = literal_lines.begin();
  std::string_view line_end;   // of the line before
  int number = 1;
  for (size_t begin = 0; begin < markdown.size(); ++number) {
    const size_t end = std::min(markdown.find_first_of("\r\n", begin), markdown.size());
    const std::string_view line = markdown.substr(begin, end - begin);
    while (literal_block != literal_lines.end() && literal_block->second < number) ++literal_block;
    const bool is_literal = literal_block != literal_lines.end() && literal_block->first <= number;
    size_t at = is_literal ? std::string_view::npos : definition_in(line);
    if (line.find_first_not_of(" \t>") == std::string_view::npos) in_paragraph = false;
    if (at != std::string_view::npos) {
      const size_t label_end = line.find("]:", at);
      const std::string_view target = target_of(markdown.substr(begin + label_end + 2, kMaxTarget));
      const bool comment = line.substr(at, label_end - at) == "[//";   // what is written so is not to be read
      if (comment || (is_address(target) && used.contains(target))) {
        at = std::string_view::npos;
        if (std::exchange(in_paragraph, false)) kept.append(line_end);
      }
    }
    if (at == std::string_view::npos) {
      kept.append(line_end).append(line);
    } else {
      found = in_paragraph = true;
      if (begin > 0) kept += "  ";   // it begins a line of its own
      kept.append(line_end).append(line.substr(0, at)).append("\\").append(line.substr(at));
    }
    begin = end + (markdown.substr(end).starts_with("\r\n") ? 2 : 1);
    line_end = markdown.substr(end, begin - end);
  }
  return found ? kept.append(line_end) : std::string();
}

class MarkdownExtractor {
 public:
  explicit MarkdownExtractor(Extracted& out) : out_(out) {}

  void run(std::string_view markdown) {
    Tree tree = parse(markdown);
    if (!tree) return;
    if (const std::string kept = keep_definitions(markdown, tree); !kept.empty()) tree = parse(kept);
    if (!tree) return;
    walk(tree, [this](cmark_node* node, bool entering) { visit(node, entering); });
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
