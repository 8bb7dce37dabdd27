// Attention of some queries to the keys and values of one head, with the online softmax of Milakov and
// Gimelshein (2018) that FlashAttention builds on: keys are passed once, a run at a time, in order.
//
// What a query gives does not depend on the queries beside it: each has its own sums, added up in the
// order of the keys.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/cache/kv_cache.h"
#include "engine/cpu/kernels.h"

namespace wenqu::engine::ops {

struct AttentionShape {
  size_t key = 0;      // numbers of a key
  size_t value = 0;    // of a value
  float scale = 1;     // on query * key
};

struct AttentionQuery {
  const float* query = nullptr;   // [key]
  size_t keys = 0;                // tokens it sees, from the first
  float* out = nullptr;           // [value]: sum of softmax(scale * query * key) * value
};

// Keys and values of consecutive tokens.
struct KeyValueRun {
  size_t begin = 0;               // the first token
  size_t count = 0;
  KvType type = KvType::f32;
  const std::byte* keys = nullptr;
  size_t key_bytes = 0;           // from one key to the next
  const std::byte* values = nullptr;
  size_t value_bytes = 0;
};

class Attention {
 public:
  // A run holds at most this many tokens, and all but the last hold exactly as many.
  static constexpr size_t kRun = KvCache::kSegmentTokens;

  // The queries must outlive the attention.
  Attention(const cpu::Kernels& kernels, const AttentionShape& shape, std::span<const AttentionQuery> queries);

  // Runs are added in order, from the first token on.
  void add(const KeyValueRun& run);
  // REQUIRES: every query's keys were added.
  void finish();

 private:
  struct State;
  void add(const KeyValueRun& run, size_t first, size_t count);
  void score(const KeyValueRun& run, size_t first, std::span<const size_t> seen);
  void sum_values(const KeyValueRun& run, size_t first, std::span<const size_t> seen);

  const cpu::Kernels& kernels_;
  const AttentionShape shape_;
  const std::span<const AttentionQuery> queries_;
  std::vector<float> maxima_, sums_;    // [queries]
  std::vector<float> scores_;           // [kTogether][kRun]
  std::vector<float> rows_;             // of a type that kernels do not read
};

// Attention to the first tokens of one head of the cache. With `values_are_keys` (MLA) a value is the
// beginning of its key.
void attend(const cpu::Kernels& kernels, const KvCache& cache, size_t layer, size_t head, bool values_are_keys,
            const AttentionShape& shape, std::span<const AttentionQuery> queries);

}  // namespace wenqu::engine::ops
