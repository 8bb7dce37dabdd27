// A graph in which the vectors nearest to another are found without looking at all of them: hierarchical navigable
// small worlds (Malkov, Yashunin 2018), by hnswlib. This is the library's one home: its exceptions become a Status here,
// and its files are not used, for ours are checked.
//
// Thread safety: immutable after creation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/status.h"
#include "retrieval/vectors/bytes.h"

namespace wenqu::retrieval {

class Graph {
 public:
  // Of `count` vectors of length 1 and `dimensions` numbers, put in one after the other: the same vectors give the same
  // graph. Errors: out_of_memory.
  static Result<std::unique_ptr<const Graph>> build(size_t dimensions, size_t count, const std::function<const float*(size_t)>& vector);

  // The links alone; the vectors are kept by the caller. Every number is checked. Errors: corrupt, out_of_memory.
  void encode(BytesWriter& out) const;
  static Result<std::unique_ptr<const Graph>> decode(BytesReader& in, size_t dimensions, size_t count,
                                                     const std::function<const float*(size_t)>& vector);
  ~Graph();

  const float* vector(size_t index) const;

  struct Near {
    float similarity = 0;
    uint32_t index = 0;
  };
  // About the `count` vectors nearest to `query` and some more, in no order. Errors: out_of_memory.
  Result<std::vector<Near>> nearest(const float* query, size_t count) const;

 private:
  struct Impl;
  explicit Graph(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace wenqu::retrieval
