#include "retrieval/documents/html.h"

#include <algorithm>
#include <memory>
#include <vector>

#include <gumbo.h>

#include "base/utf8.h"
#include "retrieval/documents/boilerplate.h"
#include "retrieval/documents/dates.h"
#include "retrieval/documents/html_guard.h"
#include "retrieval/documents/text_builder.h"

namespace wenqu::retrieval {
namespace {

struct DestroyOutput {
  void operator()(GumboOutput* output) const { gumbo_destroy_output(&kGumboDefaultOptions, output); }
};

std::string_view attribute(const GumboNode* node, const char* name) {
  if (node->type != GUMBO_NODE_ELEMENT) return {};
  const GumboAttribute* found = gumbo_get_attribute(&node->v.element.attributes, name);
  return found ? std::string_view(found->value) : std::string_view();
}

GumboTag tag_of(const GumboNode* node) {
  return node->type == GUMBO_NODE_ELEMENT ? node->v.element.tag : GUMBO_TAG_UNKNOWN;
}

// Goes through a tree without recursion; `enter` says whether to go into a node.
template <typename Enter, typename Leave>
void walk(const GumboNode* root, Enter&& enter, Leave&& leave) {
  std::vector<std::pair<const GumboNode*, unsigned>> path;
  if (enter(root)) path.push_back({root, 0});
  while (!path.empty()) {
    const GumboNode* node = path.back().first;
    const bool has_children = node->type == GUMBO_NODE_ELEMENT || node->type == GUMBO_NODE_TEMPLATE;
    const GumboVector* children = has_children ? &node->v.element.children : nullptr;
    if (!children || path.back().second >= children->length) {
      leave(node);
      path.pop_back();
      continue;
    }
    const auto* child = static_cast<const GumboNode*>(children->data[path.back().second++]);
    if (enter(child)) path.push_back({child, 0});
  }
}

bool is_hidden(GumboTag tag) {
  switch (tag) {
    case GUMBO_TAG_HEAD: case GUMBO_TAG_SCRIPT: case GUMBO_TAG_STYLE: case GUMBO_TAG_NOSCRIPT:
    case GUMBO_TAG_TEMPLATE: case GUMBO_TAG_IFRAME: case GUMBO_TAG_SELECT: case GUMBO_TAG_BUTTON:
    case GUMBO_TAG_TEXTAREA: case GUMBO_TAG_OBJECT:
      return true;
    default: return false;
  }
}

bool is_around_the_text(GumboTag tag) {
  return tag == GUMBO_TAG_NAV || tag == GUMBO_TAG_FOOTER || tag == GUMBO_TAG_ASIDE;
}

bool begins_paragraph(GumboTag tag) {
  switch (tag) {
    case GUMBO_TAG_P: case GUMBO_TAG_H1: case GUMBO_TAG_H2: case GUMBO_TAG_H3: case GUMBO_TAG_H4:
    case GUMBO_TAG_H5: case GUMBO_TAG_H6: case GUMBO_TAG_BLOCKQUOTE: case GUMBO_TAG_PRE:
    case GUMBO_TAG_TABLE: case GUMBO_TAG_ARTICLE: case GUMBO_TAG_SECTION: case GUMBO_TAG_HR:
      return true;
    default: return false;
  }
}

bool begins_line(GumboTag tag) {
  switch (tag) {
    case GUMBO_TAG_DIV: case GUMBO_TAG_LI: case GUMBO_TAG_UL: case GUMBO_TAG_OL: case GUMBO_TAG_DL:
    case GUMBO_TAG_DT: case GUMBO_TAG_DD: case GUMBO_TAG_TR: case GUMBO_TAG_BR: case GUMBO_TAG_MAIN:
    case GUMBO_TAG_HEADER: case GUMBO_TAG_FOOTER: case GUMBO_TAG_NAV: case GUMBO_TAG_ASIDE:
    case GUMBO_TAG_FORM: case GUMBO_TAG_FIGURE: case GUMBO_TAG_FIGCAPTION: case GUMBO_TAG_CAPTION:
    case GUMBO_TAG_ADDRESS: case GUMBO_TAG_FIELDSET: case GUMBO_TAG_DETAILS: case GUMBO_TAG_SUMMARY:
    case GUMBO_TAG_BODY:
      return true;
    default: return false;
  }
}

// Gathers the text of one element.
class TextOfTree {
 public:
  // With `everything`, navigation and footers are text too. What is `around` (may be null) is left out.
  std::string run(const GumboNode* root, bool everything, const Boilerplate* around) {
    walk(root, [&](const GumboNode* node) {
           if (around && node != root && around->contains(node)) return false;
           return enter(node, everything);
         },
         [&](const GumboNode* node) { leave(node); });
    return utf8_sanitize(text_.take());
  }

 private:
  bool enter(const GumboNode* node, bool everything) {
    if (node->type == GUMBO_NODE_TEXT || node->type == GUMBO_NODE_WHITESPACE || node->type == GUMBO_NODE_CDATA) {
      add(node->v.text.text);
      return false;
    }
    const GumboTag tag = tag_of(node);
    if (node->type != GUMBO_NODE_ELEMENT || is_hidden(tag) || (!everything && is_around_the_text(tag))) return false;
    break_before(tag);
    if (tag == GUMBO_TAG_LI) text_.add("- ");
    if (tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH) text_.add(" ");
    if (tag == GUMBO_TAG_PRE) ++inside_pre_;
    return true;
  }

  void leave(const GumboNode* node) {
    const GumboTag tag = tag_of(node);
    if (tag == GUMBO_TAG_PRE && --inside_pre_ == 0) {
      text_.add_preformatted(preformatted_);
      preformatted_.clear();
    }
    break_before(tag);
  }

  void break_before(GumboTag tag) {
    if (inside_pre_ > 0) {
      if (tag == GUMBO_TAG_BR) preformatted_ += '\n';
    } else if (begins_paragraph(tag)) {
      text_.break_paragraph();
    } else if (begins_line(tag)) {
      text_.break_line();
    }
  }

  void add(std::string text) {
    constexpr std::string_view kNoBreakSpace = "\u00A0";
    for (size_t at = 0; (at = text.find(kNoBreakSpace, at)) != std::string::npos;) {
      text[at++] = ' ';
      text[at++] = ' ';
    }
    if (inside_pre_ > 0) preformatted_ += text;
    else text_.add(text);
  }

  TextBuilder text_;
  std::string preformatted_;
  int inside_pre_ = 0;
};

std::string text_of(const GumboNode* node, bool everything = true, const Boilerplate* around = nullptr) {
  return node ? TextOfTree().run(node, everything, around) : std::string();
}

// The places of a page that tell about it, found in one walk.
struct Landmarks {
  const GumboNode* body = nullptr;
  const GumboNode* title = nullptr;
  const GumboNode* heading = nullptr;
  const GumboNode* time = nullptr;
  // The one <article> or <main>, where there is exactly one.
  const GumboNode* article = nullptr;
  const GumboNode* main = nullptr;
  int articles = 0, mains = 0;
  // A WeChat article page.
  const GumboNode* wechat_content = nullptr;
  const GumboNode* wechat_title = nullptr;
  const GumboNode* wechat_account = nullptr;
  const GumboNode* wechat_date = nullptr;
  std::string meta_title, meta_author, meta_date, meta_url;
};

void note_meta(const GumboNode* node, Landmarks& found) {
  std::string_view name = attribute(node, "property");
  if (name.empty()) name = attribute(node, "name");
  const std::string_view content = attribute(node, "content");
  if (name == "og:title") found.meta_title = content;
  if (name == "author" || name == "og:article:author" || name == "article:author") found.meta_author = content;
  if (name == "og:url") found.meta_url = content;
  if (name == "article:published_time" || name == "date" || name == "pubdate" || name == "publishdate" ||
      name == "datePublished" || name == "dc.date" || name == "DC.date.issued" || name == "og:article:published_time")
    found.meta_date = content;
}

Landmarks find_landmarks(const GumboNode* root) {
  Landmarks found;
  const auto note = [](const GumboNode*& place, const GumboNode* node) {
    if (!place) place = node;
  };
  walk(root, [&](const GumboNode* node) {
    if (node->type != GUMBO_NODE_ELEMENT) return false;
    switch (tag_of(node)) {
      case GUMBO_TAG_BODY: note(found.body, node); break;
      case GUMBO_TAG_TITLE: note(found.title, node); break;
      case GUMBO_TAG_H1: note(found.heading, node); break;
      case GUMBO_TAG_META: note_meta(node, found); break;
      case GUMBO_TAG_TIME: note(found.time, node); break;
      case GUMBO_TAG_ARTICLE: ++found.articles; note(found.article, node); break;
      case GUMBO_TAG_MAIN: ++found.mains; note(found.main, node); break;
      default: break;
    }
    const std::string_view id = attribute(node, "id");
    if (id == "js_content") note(found.wechat_content, node);
    if (id == "js_name") note(found.wechat_account, node);
    if (id == "publish_time") note(found.wechat_date, node);
    if (id == "activity-name" || attribute(node, "class").starts_with("rich_media_title")) note(found.wechat_title, node);
    return true;
  }, [](const GumboNode*) {});
  return found;
}

std::string first_of(std::initializer_list<std::string> candidates) {
  for (const std::string& text : candidates)
    if (text.find_first_not_of(" \t\r\n") != std::string::npos) return text;
  return {};
}

// Part of a page's text is left out only where enough is left: else the page is made in a way that we misjudge.
// A short article may well drown in what is around it.
bool is_enough(std::string_view part, std::string_view whole) {
  constexpr size_t kArticleBytes = 600;
  return !part.empty() && part.size() * (part.size() >= kArticleBytes ? 20 : 4) >= whole.size();
}

std::string text_of_page(const Landmarks& found, const GumboNode* root) {
  const GumboNode* body = found.body ? found.body : root;
  const Boilerplate around(body);
  const std::string everything = text_of(body, true);
  for (const GumboNode* part : {found.articles == 1 ? found.article : nullptr, found.mains == 1 ? found.main : nullptr, body}) {
    if (!part) continue;
    if (std::string text = text_of(part, false, &around); is_enough(text, everything)) return text;
  }
  const std::string mild = text_of(body, false);
  return mild.empty() ? everything : mild;
}

// The string after `name` in a script, up to its closing quote: `var ct = "1709625600"`.
std::string_view script_string(std::string_view html, std::string_view name) {
  const size_t at = html.find(name);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = html.substr(at + name.size(), 300);
  const size_t begin = rest.find_first_of("\"'");
  if (begin == std::string_view::npos) return {};
  const size_t end = rest.find(rest[begin], begin + 1);
  return end == std::string_view::npos ? std::string_view() : rest.substr(begin + 1, end - begin - 1);
}

// A WeChat article as it is sent has its date and account in scripts, which fill the page in.
void read_wechat_scripts(std::string_view html, const Landmarks& found, Extracted& out) {
  out.source = Source::official_account;
  if (found.meta_url.starts_with("http")) out.url = found.meta_url;
  if (out.published_at.empty()) {
    const std::string_view seconds = script_string(html, "var ct =");
    int64_t value = 0;
    if (!seconds.empty() && seconds.size() <= 12 && seconds.find_first_not_of("0123456789") == std::string_view::npos)
      for (char c : seconds) value = value * 10 + (c - '0');
    out.published_at = first_of({iso_time(value), iso_date(script_string(html, "var createTime ="))});
  }
  if (text_of(found.wechat_account).empty()) {
    const std::string_view account = script_string(html, "var nickname =");
    if (!account.empty()) out.author = utf8_sanitize(account);
  }
}

}  // namespace

Extracted extract_html(std::string_view html, bool is_xhtml) {
  const std::string simple = simplify_html(html, is_xhtml);
  GumboOptions options = kGumboDefaultOptions;
  options.max_errors = 0;  // each would keep a copy of the open elements
  const std::unique_ptr<GumboOutput, DestroyOutput> parsed(
      gumbo_parse_with_options(&options, simple.data(), simple.size()));
  if (!parsed) return {};
  const Landmarks found = find_landmarks(parsed->root);

  Extracted out;
  out.title = first_of({text_of(found.wechat_title), found.meta_title, text_of(found.title), text_of(found.heading)});
  out.author = first_of({text_of(found.wechat_account), found.meta_author});
  out.published_at = first_of({iso_date(text_of(found.wechat_date)), iso_date(found.meta_date),
                               iso_date(script_string(html, "\"datePublished\":")),
                               found.time ? iso_date(attribute(found.time, "datetime")) : ""});
  if (found.wechat_content) read_wechat_scripts(html, found, out);
  out.text = first_of({text_of(found.wechat_content), text_of_page(found, parsed->root)});
  return out;
}

std::string declared_charset(std::string_view html) {
  std::string head(html.substr(0, 2048));
  std::transform(head.begin(), head.end(), head.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  size_t at = head.find("charset=");
  if (at == std::string::npos) return {};
  at += 8;
  while (at < head.size() && (head[at] == '"' || head[at] == '\'' || head[at] == ' ')) ++at;
  const size_t end = head.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_", at);
  return head.substr(at, std::min(end, at + 40) - at);
}

}  // namespace wenqu::retrieval
