// One head's attention over the cache, with the online softmax of Milakov and Gimelshein (2018) that
// FlashAttention builds on: keys are passed once, a segment at a time, in order.
#pragma once

#include <cstddef>

#include "engine/cache/kv_cache.h"
#include "engine/cpu/kernels.h"

namespace wenqu::engine::ops {

struct AttendArgs {
  const KvCache* cache = nullptr;
  size_t layer = 0;
  size_t keys = 0;             // tokens to attend to, from the first
  const float* query = nullptr;
  size_t key_offset = 0;       // where this head's key begins in a row
  size_t key_length = 0;
  bool values_are_keys = false;   // MLA: the value is the beginning of the key's row
  size_t value_offset = 0;     // where this head's value begins in a row of values
  size_t value_length = 0;
  float scale = 1;
  float* out = nullptr;        // [value_length]: sum of softmax(scale * query * key) * value
};

void attend(const cpu::Kernels& kernels, const AttendArgs& args);

}  // namespace wenqu::engine::ops
