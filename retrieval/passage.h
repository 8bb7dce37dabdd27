// The unit that is searched, shown to the model and cited: a few sentences of one document.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "retrieval/document.h"

namespace wenqu::retrieval {

struct Passage {
  std::string document_id;
  uint32_t ordinal = 0;   // 0, 1, 2 ... within the document
  CharRange range;        // where `text` stands in Document::text
  std::string text;
  // Key under which anything about this passage may be cached (token ids, KV segment): hex of a
  // digest over the text and the version of the analysis. It changes when the document does.
  std::string hash;
  Locator locator;        // where the passage begins in the original, or what was found in it does (SearchRequest::snippets)
  std::vector<Mark> marks;   // other places of the original that begin within it, in code points of `text`, in order
};

// A passage that a search found, with what an answer needs to cite it.
struct Hit {
  Passage passage;
  std::string collection;  // where several are searched together; else empty
  double score = 0;        // higher is better; comparable within one search only
  std::string title;
  std::string url;
  Source source = Source::file;
  std::string author;
  std::string published_at;
  std::map<std::string, std::string> attributes;
  std::string snippet;               // the part of the passage that matches best
  std::vector<CharRange> matches;    // the matching words, as ranges of `snippet`
  std::vector<std::string> copies;   // documents left out because this passage says the same (collapse_duplicates)
};

}  // namespace wenqu::retrieval
