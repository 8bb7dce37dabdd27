// Which parts of a page are not its text: menus, side columns, advertisements, lists of links, notices about
// cookies, what is shown to nobody. Judged by names that pages use and by how much of a block is links; no model.
// Thread safety: one thread at a time. Lifetime: the tree outlives it.
#pragma once

#include <gumbo.h>

#include <string_view>
#include <unordered_map>

namespace wenqu::retrieval {

class Boilerplate {
 public:
  // Counts the tree's texts and links. Time is linear in the tree.
  explicit Boilerplate(const GumboNode* root);
  // Whether an element is best left out, with all that is in it.
  bool contains(const GumboNode* node) const;

 private:
  struct Weight {
    size_t text = 0;    // bytes that are not white space
    size_t linked = 0;  // of them inside links
    size_t links = 0;
  };
  std::unordered_map<const GumboNode*, Weight> weights_;   // of elements that may be lists of links
};

// Whether the value of a class or id attribute is one that pages give to what is around their text.
bool names_boilerplate(std::string_view names);

}  // namespace wenqu::retrieval
