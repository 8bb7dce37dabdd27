// The interface that answers "which passages speak of this?". Lucene++ on the local disk stands
// behind it now; a host's own search or a cluster may later.
//
// Thread safety: search and fetch may be called from any number of threads at once.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/filter.h"
#include "retrieval/passage.h"

namespace wenqu::retrieval {

struct SearchRequest {
  std::string query;             // what the user typed; any text, it has no query syntax
  size_t top = 10;               // hits wanted, 1 to 10,000
  size_t offset = 0;             // hits to pass over before, for further pages; with `top` at most 10,000
  std::vector<Source> sources;   // empty: all
  Filter filter;                 // which of their documents
  bool one_per_document = false; // keep each document's best passage only
  bool collapse_duplicates = false;  // leave out passages that say again what a better one of another document says
  bool snippets = true;          // false saves the making of Hit::snippet and matches
};

struct SearchResponse {
  std::vector<Hit> hits;    // best first; ties by document id, then ordinal
  size_t total = 0;         // passages that match at least one word of the query, this page or not
  bool total_is_exact = true;  // false: an estimate, because what could not matter was not looked at
};

// A term of a text and how common it is in the collection: rare terms tell passages apart, a term of
// no passage is something the collection does not know.
struct WeighedTerm {
  std::string text;            // folded, as the analysis makes it
  CharRange range;             // code points of the text that it stands for
  bool is_unigram = false;     // a single Chinese character, weak evidence alone
  uint64_t passages = 0;       // passages that hold it
  double weight = 0;           // inverse document frequency, as the ranking uses it
};

class Retriever {
 public:
  virtual ~Retriever() = default;
  // Errors: invalid_argument (empty query, top or offset out of range, a time that is none), limit_exceeded (query over 64 KiB),
  // cancelled, corrupt, io_error. A query of only stop words or punctuation finds nothing: no error.
  virtual Result<SearchResponse> search(const SearchRequest& request, const CancelToken& cancel) const = 0;
  // The distinct terms of `text` in order of appearance: those of a question when `is_question`
  // (question and stop words left out), else all. Errors: limit_exceeded, corrupt, io_error.
  virtual Result<std::vector<WeighedTerm>> weigh(std::string_view text, bool is_question) const = 0;
  // The whole document. Errors: not_found.
  virtual Result<Document> fetch(const std::string& document_id) const = 0;
};

}  // namespace wenqu::retrieval
