// The interface that answers "which passages speak of this?". Lucene++ on the local disk or a cluster's search
// (remote/remote_index.h) stands behind it; a host's own may later.
//
// Thread safety: search and fetch may be called from any number of threads at once.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "retrieval/filter.h"
#include "retrieval/passage.h"

namespace wenqu::retrieval {

// What a search does besides words, where the index was opened with models for it (IndexModels).
struct HybridOptions {
  enum class Use { automatic, never, required };   // automatic: where it can be done
  Use dense = Use::automatic;      // find passages by the question's vector too
  enum class Fusion { ranks, scores };
  Fusion fusion = Fusion::ranks;   // how the two kinds of findings become one order: hybrid/fusion.h
  double dense_weight = 0.5;       // of the vectors' findings, 0 to 1; that of the words' is the rest
  size_t candidates = 100;         // of each kind, 1 to 10,000
  Use rerank = Use::automatic;     // have a model look at the best ones again
  size_t reranked = 20;            // so many of them, 1 to 10,000
};

struct SearchRequest {
  std::string query;             // what the user typed; any text, it has no query syntax
  size_t top = 10;               // hits wanted, 1 to 10,000
  size_t offset = 0;             // hits to pass over before, for further pages; with `top` at most 10,000
  std::vector<Source> sources;   // empty: all
  Filter filter;                 // which of their documents
  bool one_per_document = false; // keep each document's best passage only
  bool collapse_duplicates = false;  // leave out passages that say again what a better one of another document says
  HybridOptions hybrid;
  bool snippets = true;          // false saves the making of Hit::snippet and matches
};

struct SearchResponse {
  std::vector<Hit> hits;    // best first; ties by document id, then ordinal
  // Passages that match at least one word of the query, this page or not; or all that may be listed, where vectors found more.
  size_t total = 0;
  bool total_is_exact = true;  // false: an estimate, because what could not matter was not looked at
  bool dense = false;       // vectors were searched too
  bool reranked = false;    // a model ranked the best ones again; scores are its
};

// A term of a text and how common it is in the collection: rare terms tell passages apart, a term of
// no passage is something the collection does not know.
struct WeighedTerm {
  std::string text;            // folded, as the analysis makes it
  CharRange range;             // code points of the text that it stands for
  bool is_unigram = false;     // a single Chinese character, weak evidence alone
  bool is_dictionary_word = false;   // Chinese, or a word of the user's; its pairs of characters are not told then
  std::vector<std::string> others;   // synonyms of the phrase that it is part of
  uint64_t passages = 0;       // passages that hold it
  double weight = 0;           // inverse document frequency, as the ranking uses it
};

// Of a question or text; more is limit_exceeded.
inline constexpr size_t kMaxQueryBytes = 64 * 1024;

class Retriever {
 public:
  virtual ~Retriever() = default;
  // Errors: invalid_argument (empty query, top or offset out of range, a time that is none), limit_exceeded (query over 64 KiB),
  // cancelled, corrupt, io_error. A query of only stop words or punctuation finds nothing: no error.
  virtual Result<SearchResponse> search(const SearchRequest& request, const CancelToken& cancel) const = 0;
  // The responses to several requests, in their order; where a cluster is asked, in fewer turns than one by one.
  virtual Result<std::vector<SearchResponse>> search_all(std::span<const SearchRequest> requests, const CancelToken& cancel) const {
    std::vector<SearchResponse> responses;
    for (const SearchRequest& request : requests) {
      WENQU_ASSIGN_OR_RETURN(SearchResponse response, search(request, cancel));
      responses.push_back(std::move(response));
    }
    return responses;
  }
  // The distinct terms of `text` in order of appearance: those of a question when `is_question`
  // (question and stop words left out, words of the dictionary told), else all, Chinese by characters and pairs. Errors: limit_exceeded, corrupt, io_error;
  // cancelled, where a cluster is asked.
  virtual Result<std::vector<WeighedTerm>> weigh(std::string_view text, bool is_question, const CancelToken& cancel = {}) const = 0;
  // The whole document. Errors: not_found.
  virtual Result<Document> fetch(const std::string& document_id) const = 0;
};

}  // namespace wenqu::retrieval
