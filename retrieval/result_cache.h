// What searches of one state of an index have found, for those who ask the same again: pages that are reloaded,
// several users with one question. A new state begins with an empty one, so nothing in it is ever out of date.
//
// Thread safety: any number of threads may use one.
#pragma once

#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "retrieval/retriever.h"

namespace wenqu::retrieval {

class ResultCache {
 public:
  // At most so many bytes, about; 0: nothing is kept.
  explicit ResultCache(size_t max_bytes) : max_bytes_(max_bytes) {}

  // What the same request gave before.
  std::optional<SearchResponse> find(const SearchRequest& request);
  void keep(const SearchRequest& request, const SearchResponse& response);

 private:
  using Entry = std::pair<std::string, SearchResponse>;   // key, what was found
  const size_t max_bytes_;
  std::mutex mutex_;
  std::list<Entry> entries_;                              // the one used last in front
  std::unordered_map<std::string, std::list<Entry>::iterator> places_;
  size_t bytes_ = 0;
};

}  // namespace wenqu::retrieval
