#include "retrieval/result_cache.h"

#include <bit>
#include <cstdint>

namespace wenqu::retrieval {
namespace {

void put(std::string& key, std::string_view text) { key += std::to_string(text.size()) + ":" + std::string(text); }

// Everything of the request that matters for what is found.
std::string key_of(const SearchRequest& request) {
  std::string key = std::to_string(request.top) + "," + std::to_string(request.offset) + "," +
                    (request.one_per_document ? "d" : "") + (request.snippets ? "s" : "") + (request.collapse_duplicates ? "c" : "") + ",";
  put(key, request.query);
  const HybridOptions& hybrid = request.hybrid;
  key += std::to_string(static_cast<int>(hybrid.dense)) + "," + std::to_string(static_cast<int>(hybrid.fusion)) + "," +
         std::to_string(std::bit_cast<uint64_t>(hybrid.dense_weight)) + "," + std::to_string(hybrid.candidates) + "," +
         std::to_string(static_cast<int>(hybrid.rerank)) + "," + std::to_string(hybrid.reranked) + ",";
  for (const Source source : request.sources) key += static_cast<char>('0' + static_cast<int>(source));
  put(key, request.filter.published_from);
  put(key, request.filter.published_until);
  for (const auto& [name, values] : request.filter.attributes) {
    put(key, name);
    key += std::to_string(values.size()) + "=";
    for (const std::string& value : values) put(key, value);
  }
  if (!request.filter.principals) return key;
  key += "p";
  for (const std::string& principal : *request.filter.principals) put(key, principal);
  return key;
}

size_t bytes_of(const std::string& key, const SearchResponse& response) {
  size_t sum = 2 * key.size() + sizeof response + 128;
  for (const Hit& hit : response.hits) {
    sum += sizeof hit + hit.passage.document_id.size() + hit.passage.text.size() + hit.passage.hash.size() + hit.title.size() +
           hit.url.size() + hit.author.size() + hit.published_at.size() + hit.snippet.size() + hit.matches.size() * sizeof(CharRange);
    for (const std::string& copy : hit.copies) sum += copy.size() + 64;
    for (const auto& [name, value] : hit.attributes) sum += name.size() + value.size() + 96;
  }
  return sum;
}

}  // namespace

std::optional<SearchResponse> ResultCache::find(const SearchRequest& request) {
  if (max_bytes_ == 0) return std::nullopt;
  const std::string key = key_of(request);
  const std::lock_guard lock(mutex_);
  const auto found = places_.find(key);
  if (found == places_.end()) return std::nullopt;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->second;
}

void ResultCache::keep(const SearchRequest& request, const SearchResponse& response) {
  if (max_bytes_ == 0) return;
  std::string key = key_of(request);
  const size_t bytes = bytes_of(key, response);
  if (bytes > max_bytes_) return;
  const std::lock_guard lock(mutex_);
  if (places_.contains(key)) return;
  entries_.emplace_front(key, response);
  places_.emplace(std::move(key), entries_.begin());
  for (bytes_ += bytes; bytes_ > max_bytes_; entries_.pop_back()) {
    const auto& [oldest, its_response] = entries_.back();
    bytes_ -= bytes_of(oldest, its_response);
    places_.erase(oldest);
  }
}

}  // namespace wenqu::retrieval
