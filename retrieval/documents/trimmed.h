// A text without white space at its ends.
#pragma once

#include <string_view>

namespace wenqu::retrieval {

inline std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

}  // namespace wenqu::retrieval
