#include "retrieval/documents/html_guard.h"

#include <algorithm>
#include <array>

namespace wenqu::retrieval {
namespace {

constexpr size_t kMaxTagBytes = 4096;
constexpr size_t kMaxTags = 2'000'000;  // a tree node costs some hundred bytes

template <size_t N>
bool is_one_of(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Elements without content, or closed by what follows them: they do not nest.
constexpr std::array<std::string_view, 33> kFlat = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr", "html", "head", "body", "p", "li", "dd", "dt", "td", "th", "tr", "tbody", "thead", "tfoot",
    "option", "optgroup", "colgroup", "frame", "keygen", "basefont"};
// They say nothing about the text, and left open they are opened again in every paragraph.
constexpr std::array<std::string_view, 13> kFormatting = {
    "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"};
// Their content is not markup.
constexpr std::array<std::string_view, 6> kRaw = {"script", "style", "textarea", "title", "xmp", "iframe"};
constexpr std::array<std::string_view, 2> kGraphics = {"svg", "math"};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool ends_name(char c) { return c == '>' || c == '/' || c == ' ' || (c >= '\t' && c <= '\r'); }

class HtmlSimplifier {
 public:
  HtmlSimplifier(std::string_view html, bool is_xhtml) : html_(html), is_xhtml_(is_xhtml) { out_.reserve(html.size()); }

  std::string run() {
    while (pos_ < html_.size()) {
      const size_t open = std::min(html_.find('<', pos_), html_.size());
      out_ += html_.substr(pos_, open - pos_);
      pos_ = open;
      if (pos_ < html_.size()) markup();
    }
    return std::move(out_);
  }

 private:
  void markup() {
    const std::string_view rest = html_.substr(pos_);
    if (rest.starts_with("<!--")) return skip_past("-->");
    if (rest.size() > 1 && (rest[1] == '!' || rest[1] == '?')) return skip_past(">");
    const bool closing = rest.size() > 1 && rest[1] == '/';
    const size_t name_begin = closing ? 2 : 1;
    if (name_begin >= rest.size() || !is_letter(rest[name_begin])) {
      out_ += "&lt;";
      ++pos_;
      return;
    }
    size_t name_end = name_begin;
    while (name_end < rest.size() && !ends_name(rest[name_end])) ++name_end;
    std::string name(rest.substr(name_begin, std::min<size_t>(name_end - name_begin, 32)));
    std::transform(name.begin(), name.end(), name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    const size_t end = tag_end(name_end);
    const std::string_view tag = rest.substr(0, end);
    pos_ += end;
    closing ? close_tag(name) : open_tag(name, tag);
  }

  // Past the '>' of the tag, quoted attribute values being passed over.
  size_t tag_end(size_t from) const {
    char quote = 0;
    for (size_t i = pos_ + from; i < html_.size(); ++i) {
      const char c = html_[i];
      if (quote) {
        if (c == quote) quote = 0;
      } else if ((c == '"' || c == '\'') && html_[i - 1] == '=') {
        quote = c;
      } else if (c == '>') {
        return i + 1 - pos_;
      }
    }
    return html_.size() - pos_;
  }

  void open_tag(const std::string& name, std::string_view tag) {
    if (is_one_of(kFormatting, name)) return;
    if (is_one_of(kGraphics, name)) {
      if (!tag.ends_with("/>")) skip_graphics(name);
      return;
    }
    if (++tags_ > kMaxTags) return;
    if (is_one_of(kRaw, name)) {
      if (is_xhtml_ && tag.ends_with("/>")) return;
      const size_t content = pos_;
      skip_element(name);
      if (name == "title" || name == "textarea") copy_raw(name, html_.substr(content, pos_ - content));
      return;
    }
    if (!is_one_of(kFlat, name)) {
      if (depth_ >= kMaxHtmlDepth) {
        ++flattened_;
        return;
      }
      ++depth_;
    }
    if (tag.size() > kMaxTagBytes || !tag.ends_with('>')) {
      out_ += "<" + name + ">";
    } else {
      out_ += tag;
    }
  }

  void close_tag(const std::string& name) {
    if (is_one_of(kFormatting, name) || is_one_of(kGraphics, name) || tags_ > kMaxTags) return;
    if (!is_one_of(kFlat, name)) {
      if (flattened_ > 0) {
        --flattened_;
        return;
      }
      depth_ = std::max(depth_ - 1, 0);
    }
    out_ += "</" + name + ">";
  }

  void copy_raw(const std::string& name, std::string_view content_and_close) {
    const std::string_view content = content_and_close.substr(0, content_and_close.rfind("</"));
    out_ += "<" + name + ">";
    out_ += content;
    out_ += "</" + name + ">";
  }

  void skip_past(std::string_view mark) {
    const size_t found = html_.find(mark, pos_);
    pos_ = found == std::string_view::npos ? html_.size() : found + mark.size();
  }

  // Past the graphic; past its tag only, if nothing closes it.
  void skip_graphics(const std::string& name) {
    if (graphics_left_open_) return;
    const size_t content = pos_;
    if (skip_element(name)) return;
    graphics_left_open_ = true;
    pos_ = content;
  }

  // Past "</name ...>"; to the end of the page and false, when nothing closes the element.
  bool skip_element(const std::string& name) {
    while (pos_ < html_.size()) {
      const size_t close = html_.find("</", pos_);
      if (close == std::string_view::npos) break;
      pos_ = close + 2;
      const std::string_view rest = html_.substr(pos_, name.size());
      const bool same = rest.size() == name.size() &&
                        std::equal(rest.begin(), rest.end(), name.begin(), [](char a, char b) { return (a | 32) == b; });
      if (!same) continue;
      skip_past(">");
      return true;
    }
    pos_ = html_.size();
    return false;
  }

  std::string_view html_;
  bool is_xhtml_;
  std::string out_;
  size_t pos_ = 0;
  size_t tags_ = 0;
  int depth_ = 0;
  bool graphics_left_open_ = false;
  size_t flattened_ = 0;  // elements open whose tags were left out
};

}  // namespace

std::string simplify_html(std::string_view html, bool is_xhtml) { return HtmlSimplifier(html, is_xhtml).run(); }

}  // namespace wenqu::retrieval
