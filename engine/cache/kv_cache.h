// What a timeline remembers of the tokens it has read: for each layer and token a row of keys and a
// row of values, in segments of a fixed number of tokens.
//
// Keys are kept rotated for the position they stand at. A segment that is to stand elsewhere is turned
// by the difference of positions (rotations add up), which touches the rotary part only: 64 of the 576
// numbers that MLA keeps for a token. MLA keeps no values: its keys' latent part serves as both.
//
// Thread safety: one thread at a time; rows of one cache may be read and written by several threads
// when they are different rows.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/status.h"

namespace wenqu::engine {

struct KvShape {
  size_t layers = 0;
  size_t key = 0;     // numbers a token and layer
  size_t value = 0;   // may be 0

  size_t bytes_per_token() const { return layers * (key + value) * sizeof(float); }
};

class KvCache {
 public:
  static constexpr size_t kSegmentTokens = 256;

  explicit KvCache(const KvShape& shape) : shape_(shape) {}

  size_t size() const { return size_; }
  // Makes room for `size` tokens. On out_of_memory nothing has changed.
  Status resize(size_t size);

  float* key(size_t layer, size_t token) { return row(layer, token, 0); }
  const float* key(size_t layer, size_t token) const { return const_cast<KvCache*>(this)->row(layer, token, 0); }
  float* value(size_t layer, size_t token) { return row(layer, token, shape_.key); }
  const float* value(size_t layer, size_t token) const { return const_cast<KvCache*>(this)->row(layer, token, shape_.key); }

  // Rows of consecutive tokens of one segment lie this far apart.
  size_t stride() const { return shape_.key + shape_.value; }

 private:
  struct Segment {
    std::unique_ptr<float[]> data;   // [layers][kSegmentTokens][key + value]
  };
  float* row(size_t layer, size_t token, size_t offset) {
    return segments_[token / kSegmentTokens].data.get() +
           (layer * kSegmentTokens + token % kSegmentTokens) * stride() + offset;
  }

  KvShape shape_;
  std::vector<Segment> segments_;
  size_t size_ = 0;
};

}  // namespace wenqu::engine
