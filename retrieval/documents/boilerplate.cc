#include "retrieval/documents/boilerplate.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace wenqu::retrieval {
namespace {

constexpr size_t kMinListBytes = 12;
constexpr size_t kMinLinks = 3;

// Whole words of class names, as in "side-bar", "site_footer", "AdSlot": words that texts use too are not among them.
constexpr std::array<std::string_view, 37> kWords = {
    "ad", "ads", "adv", "advert", "advertisement", "adsbygoogle", "banner", "breadcrumb", "breadcrumbs", "catlinks",
    "comment", "comments", "cookie", "cookies", "copyright", "footer", "login", "menu", "menubar", "modal", "nav",
    "navbar", "navbox", "navigation", "newsletter", "pager", "pagination", "popup", "promo", "recommend", "related",
    "share", "sidebar", "social", "sponsor", "toolbar", "topbar"};

bool is_container(GumboTag tag) {
  switch (tag) {
    case GUMBO_TAG_DIV: case GUMBO_TAG_SECTION: case GUMBO_TAG_UL: case GUMBO_TAG_OL: case GUMBO_TAG_DL: case GUMBO_TAG_TABLE:
    case GUMBO_TAG_TD: case GUMBO_TAG_P: case GUMBO_TAG_HEADER: case GUMBO_TAG_FORM: case GUMBO_TAG_SPAN: case GUMBO_TAG_LI:
      return true;
    default: return false;
  }
}

bool may_be_list(GumboTag tag) {
  return tag == GUMBO_TAG_DIV || tag == GUMBO_TAG_SECTION || tag == GUMBO_TAG_UL || tag == GUMBO_TAG_OL || tag == GUMBO_TAG_TABLE ||
         tag == GUMBO_TAG_HEADER || tag == GUMBO_TAG_TD || tag == GUMBO_TAG_DL;
}

std::string_view attribute(const GumboNode* node, const char* name) {
  const GumboAttribute* found = gumbo_get_attribute(&node->v.element.attributes, name);
  return found ? std::string_view(found->value) : std::string_view();
}

bool is_shown_to_nobody(const GumboNode* node) {
  if (gumbo_get_attribute(&node->v.element.attributes, "hidden")) return true;
  std::string style;
  for (char c : attribute(node, "style"))
    if (c != ' ' && c != '\t' && c != '\n') style += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return style.find("display:none") != std::string::npos;
}

size_t visible_bytes(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return c != ' ' && (c < '\t' || c > '\r'); }));
}

}  // namespace

Boilerplate::Boilerplate(const GumboNode* root) {
  struct Step {
    const GumboNode* node;
    unsigned child;
    Weight weight;
  };
  std::vector<Step> path;
  size_t inside_links = 0;
  const auto enter = [&](const GumboNode* node) {
    if (node->type == GUMBO_NODE_TEXT) {
      Weight& weight = path.back().weight;
      const size_t bytes = visible_bytes(node->v.text.text);
      weight.text += bytes;
      if (inside_links > 0) weight.linked += bytes;
    } else if (node->type == GUMBO_NODE_ELEMENT) {
      inside_links += node->v.element.tag == GUMBO_TAG_A;
      path.push_back({node, 0, {}});
    }
  };
  if (root->type == GUMBO_NODE_ELEMENT) enter(root);
  while (!path.empty()) {
    const GumboNode* node = path.back().node;
    const GumboVector& children = node->v.element.children;
    if (path.back().child < children.length) {
      enter(static_cast<const GumboNode*>(children.data[path.back().child++]));
      continue;
    }
    Weight weight = path.back().weight;
    path.pop_back();
    if (node->v.element.tag == GUMBO_TAG_A) {
      --inside_links;
      ++weight.links;
    }
    if (may_be_list(node->v.element.tag) && weight.links >= kMinLinks) weights_[node] = weight;
    if (path.empty()) break;
    Weight& outer = path.back().weight;
    outer.text += weight.text;
    outer.linked += weight.linked;
    outer.links += weight.links;
  }
}

bool Boilerplate::contains(const GumboNode* node) const {
  if (node->type != GUMBO_NODE_ELEMENT || !is_container(node->v.element.tag)) return false;
  if (is_shown_to_nobody(node) || names_boilerplate(attribute(node, "class")) || names_boilerplate(attribute(node, "id"))) return true;
  const std::string_view role = attribute(node, "role");
  if (role == "navigation" || role == "banner" || role == "contentinfo" || role == "search" || role == "complementary") return true;
  const auto weight = weights_.find(node);
  return weight != weights_.end() && weight->second.text >= kMinListBytes && weight->second.linked * 4 >= weight->second.text * 3;
}

bool names_boilerplate(std::string_view names) {
  std::string word;
  const auto known = [&] {
    const bool found = std::binary_search(kWords.begin(), kWords.end(), word);
    word.clear();
    return found;
  };
  for (size_t i = 0; i < names.size(); ++i) {
    const char c = names[i];
    const bool upper = c >= 'A' && c <= 'Z', letter = upper || (c >= 'a' && c <= 'z');
    const bool begins_word = upper && i > 0 && names[i - 1] >= 'a' && names[i - 1] <= 'z';
    if ((!letter || begins_word) && known()) return true;
    if (letter) word += upper ? static_cast<char>(c + 32) : c;
  }
  return known();
}

}  // namespace wenqu::retrieval
