// Caches of some sequences, on the host and in pages of a device.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "engine/cache/kv_cache.h"
#include "engine/cuda/kernels/cache_rows.h"
#include "tests/engine/cuda/device_memory.h"

namespace wenqu::test {

using engine::KvCache;
using engine::KvShape;
using engine::KvType;

class HostCaches {
 public:
  HostCaches(const KvShape& shape, const std::vector<size_t>& lengths) {
    for (const size_t length : lengths) {
      caches_.push_back(std::make_unique<KvCache>(shape));
      EXPECT_TRUE(caches_.back()->resize(length));
      for (size_t s = 0; s < segments(caches_.size() - 1); ++s) std::memset(bytes(caches_.size() - 1, s).data(), 0, caches_.back()->segment_bytes());
    }
  }
  void fill(std::mt19937& random) {
    std::normal_distribution<float> normal;
    std::vector<float> key(shape().key), value(shape().value);
    for (const std::unique_ptr<KvCache>& cache : caches_)
      for (size_t l = 0; l < shape().layers; ++l)
        for (size_t h = 0; h < shape().heads; ++h)
          for (size_t t = 0; t < cache->size(); ++t) {
            for (float& v : key) v = normal(random);
            for (float& v : value) v = normal(random);
            cache->put(l, h, t, key.data(), value.data());
          }
  }

  const KvShape& shape() const { return caches_[0]->shape(); }
  size_t sequences() const { return caches_.size(); }
  KvCache& cache(int sequence) const { return *caches_[static_cast<size_t>(sequence)]; }
  size_t segments(size_t sequence) const { return (caches_[sequence]->size() + KvCache::kSegmentTokens - 1) / KvCache::kSegmentTokens; }
  std::span<std::byte> bytes(size_t sequence, size_t segment) {
    return {caches_[sequence]->segment(segment), caches_[sequence]->segment_bytes()};
  }
  std::vector<float> key(int sequence, size_t layer, size_t head, size_t token) const {
    return load(cache(sequence).keys(layer, head, token / KvCache::kSegmentTokens), shape().key_bytes(), shape().key, token);
  }
  std::vector<float> value(int sequence, size_t layer, size_t head, size_t token) const {
    return load(cache(sequence).values(layer, head, token / KvCache::kSegmentTokens), shape().value_bytes(), shape().value, token);
  }

 private:
  std::vector<float> load(const std::byte* rows, size_t row_bytes, size_t n, size_t token) const {
    std::vector<float> out(n);
    engine::load_row(shape().type, rows + token % KvCache::kSegmentTokens * row_bytes, n, out.data());
    return out;
  }
  std::vector<std::unique_ptr<KvCache>> caches_;
};

// A copy of them; what no token was put to is unwritten.
class DevicePages {
 public:
  DevicePages(Device& device, HostCaches& caches) : device_(device), shape_(caches.shape()) {
    std::vector<std::byte*> pages;
    std::vector<int32_t> first;
    for (size_t s = 0; s < caches.sequences(); ++s) {
      first.push_back(static_cast<int32_t>(pages.size()));
      KvCache& cache = caches.cache(static_cast<int>(s));
      for (size_t p = 0; p < caches.segments(s); ++p) {
        memory_.push_back(std::make_unique<Array<std::byte>>(device, cache.segment_bytes()));
        std::byte* const to = memory_.back()->data();
        const std::byte* const from = caches.bytes(s, p).data();
        const size_t tokens = std::min(cache.size() - p * KvCache::kSegmentTokens, KvCache::kSegmentTokens);
        for (size_t l = 0; l < shape_.layers; ++l)
          for (size_t h = 0; h < shape_.heads; ++h)
            for (const std::span<std::byte> rows : {cache.key_rows(cache.segment(p), l, h, tokens), cache.value_rows(cache.segment(p), l, h, tokens)}) {
              const Status status = rows.empty() ? Status() : device.upload(to + (rows.data() - from), rows.data(), rows.size());
              EXPECT_TRUE(status) << status.to_string();
            }
        pages.push_back(to);
      }
    }
    pages_ = std::make_unique<Array<std::byte*>>(device, pages);
    first_ = std::make_unique<Array<int32_t>>(device, first);
  }

  CacheRows rows(size_t layer) const {
    return {pages_->data(), first_->data(), layer * shape_.heads * engine::cuda::kPageTokens * (shape_.key_bytes() + shape_.value_bytes()),
            static_cast<int>(shape_.heads), static_cast<int>(shape_.key), static_cast<int>(shape_.value), static_cast<int>(shape_.key_bytes()),
            static_cast<int>(shape_.value_bytes()), shape_.type};
  }
  // What the tokens have, back into the host's caches.
  void download(HostCaches& caches) const {
    each(caches, [&](const std::byte* from, std::span<std::byte> rows) { EXPECT_TRUE(device_.download(rows.data(), from, rows.size())); });
  }
  bool equal(HostCaches& caches) const {
    bool same = true;
    each(caches, [&](const std::byte* from, std::span<std::byte> rows) {
      std::vector<std::byte> here(rows.size());
      EXPECT_TRUE(device_.download(here.data(), from, here.size()));
      same = same && std::equal(rows.begin(), rows.end(), here.begin());
    });
    return same;
  }

 private:
  template <typename Body>
  void each(HostCaches& caches, const Body& body) const {
    size_t page = 0;
    for (size_t s = 0; s < caches.sequences(); ++s)
      for (size_t p = 0; p < caches.segments(s); ++p, ++page) {
        KvCache& cache = caches.cache(static_cast<int>(s));
        const std::byte* const host = caches.bytes(s, p).data();
        const size_t tokens = std::min(cache.size() - p * KvCache::kSegmentTokens, KvCache::kSegmentTokens);
        for (size_t l = 0; l < shape_.layers; ++l)
          for (size_t h = 0; h < shape_.heads; ++h)
            for (const std::span<std::byte> rows : {cache.key_rows(cache.segment(p), l, h, tokens), cache.value_rows(cache.segment(p), l, h, tokens)})
              if (!rows.empty()) body(memory_[page]->data() + (rows.data() - host), rows);
      }
  }

  Device& device_;
  KvShape shape_;
  std::vector<std::unique_ptr<Array<std::byte>>> memory_;
  std::unique_ptr<Array<std::byte*>> pages_;
  std::unique_ptr<Array<int32_t>> first_;
};

}  // namespace wenqu::test
