// What a format's reader takes out of a file's text.
#pragma once

#include <string>

namespace wenqu::retrieval {

struct Extracted {
  std::string title;         // empty when the text names none
  std::string text;
  std::string author;
  std::string published_at;
};

}  // namespace wenqu::retrieval
