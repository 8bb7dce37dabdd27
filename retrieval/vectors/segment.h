// Vectors that were written together: those of whole documents, by their ids, a vector for each passage in order. Few
// vectors are searched one by one; for many there is a graph.
//
// Thread safety: immutable after creation; any number of threads may use one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "retrieval/vectors/graph.h"

namespace wenqu::retrieval {

// A digest of the text that a vector was made of.
using VectorKey = std::array<uint8_t, 16>;
VectorKey vector_key(std::string_view text);

// What a passage is embedded as.
std::string embedded_text(std::string_view title, std::string_view passage);

class VectorSegment {
 public:
  // From so many on there is a graph.
  static constexpr size_t kGraphFrom = 4096;

  struct Document {
    std::string id;
    uint32_t first = 0;   // of its entries; they end where the next document's begin
  };
  struct Entry {
    VectorKey key;
    const float* vector;   // [dimensions], of length 1; outlives the building
  };
  // Documents by their ids, each with an entry or more. Errors: out_of_memory.
  static Result<std::shared_ptr<const VectorSegment>> build(size_t dimensions, std::vector<Document> documents, const std::vector<Entry>& entries);

  std::string encode() const;
  // Errors: corrupt, out_of_memory.
  static Result<std::shared_ptr<const VectorSegment>> decode(std::string_view bytes);

  size_t dimensions() const { return dimensions_; }
  size_t size() const { return keys_.size(); }
  const std::vector<Document>& documents() const { return documents_; }
  uint32_t end_of(size_t document) const {
    return document + 1 < documents_.size() ? documents_[document + 1].first : static_cast<uint32_t>(keys_.size());
  }
  std::optional<size_t> find_document(std::string_view id) const;
  size_t document_of(uint32_t entry) const;
  const VectorKey& key(uint32_t entry) const { return keys_[entry]; }
  const float* vector(uint32_t entry) const { return graph_ ? graph_->vector(entry) : vectors_.data() + entry * dimensions_; }
  // An entry of that key. The first call sorts the keys.
  std::optional<uint32_t> find_key(const VectorKey& key) const;

  // The `count` entries nearest to the query of those that `accept` takes; with a graph, about those, and maybe fewer.
  // In no order.
  Result<std::vector<Graph::Near>> nearest(const float* query, size_t count, const std::function<bool(uint32_t)>& accept) const;

 private:
  VectorSegment() = default;
  Status add_graph(BytesReader* from, const std::function<const float*(size_t)>& vector);

  size_t dimensions_ = 0;
  std::vector<Document> documents_;
  std::vector<VectorKey> keys_;
  std::vector<float> vectors_;            // empty with a graph, which has them
  std::unique_ptr<const Graph> graph_;    // null for few
  mutable std::once_flag sorted_once_;
  mutable std::vector<uint32_t> by_key_;
};

}  // namespace wenqu::retrieval
