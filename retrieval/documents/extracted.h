// What a format's reader takes out of a file.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "retrieval/document.h"

namespace wenqu::retrieval {

struct Extracted {
  std::string title;         // empty when the file names none
  std::string text;
  std::string author;
  std::string published_at;
  std::string url;           // where the page says it was published
  std::vector<std::string> acl;   // who may find it, where the file says so
  std::optional<Source> source;   // what kind of document it is, where its form tells
  std::vector<Mark> marks;   // of pages, times, sections or rows
};

}  // namespace wenqu::retrieval
