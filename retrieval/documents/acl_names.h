// Names of those who may find a document, as tables and front matter write them. Thread safety: pure.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "retrieval/documents/trimmed.h"

namespace wenqu::retrieval {

// The names in a list such as "ann; bob", without quotes; empty for a blank one. A list in which there is no name but something
// was meant gives what stands there, which is nobody's name: what cannot be read lets nobody in.
inline std::vector<std::string> acl_names(std::string_view list, char separator = ';') {
  list = trimmed(list);
  std::vector<std::string> names;
  for (size_t begin = 0; begin < list.size();) {
    const size_t end = std::min(list.find(separator, begin), list.size());
    const std::string_view name = unquoted(trimmed(list.substr(begin, end - begin)));
    if (!name.empty()) names.emplace_back(name);
    begin = end + 1;
  }
  if (names.empty() && !list.empty()) names.emplace_back(list);
  return names;
}

// Whether a member was meant to be `acl`: passed over, it would let everybody in. REQUIRES: `name` is in small letters
inline bool is_meant_as_acl(std::string_view name) { return name == "acls" || name == "principals" || name == "principal"; }

}  // namespace wenqu::retrieval
