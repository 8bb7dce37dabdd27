// Queries and keys are put where they stand in their text, and keys and values are written to the cache's pages.
//
// A page holds 256 tokens, each page an allocation of its own, laid out as a segment of the host's cache
// (engine/cache/kv_cache.h): for each layer and head of keys and values 256 keys, then 256 values. So pages are
// copied between host and device as they are.
#pragma once

#include "engine/cache/kv_type.h"
#include "engine/cuda/kernels/input.h"

namespace wenqu::engine::cuda {

inline constexpr int kPageTokens = 256;
inline constexpr int kFp8Block = 128, kFp8BlockBytes = 4 + kFp8Block;   // numbers of a block, a scale before them

// Where a token of the batch stands.
struct alignas(8) Place {
  int32_t sequence = 0, position = 0;
};

// The rows of one layer in the pages of a batch's sequences.
struct CacheRows {
  std::byte* const* pages = nullptr;      // of one sequence after another
  const int32_t* first_page = nullptr;    // [sequences] its first one's place in `pages`
  size_t layer_offset = 0;                // in a page
  int heads = 0;                          // of keys and values
  int key = 0, value = 0;                 // numbers of a key, of a value; value may be 0
  int key_bytes = 0, value_bytes = 0;     // of a row
  KvType type = KvType::f16;
};

WENQU_BOTH constexpr int cache_row_bytes(KvType type, int numbers) {
  switch (type) {
    case KvType::f32: return numbers * 4;
    case KvType::f16: return numbers * 2;
    case KvType::q8_0: return divide_up(numbers, kBlock) * 34;
    case KvType::bf16: return numbers * 2;
    case KvType::fp8: return divide_up(numbers, kFp8Block) * 4 + round_up(numbers, 4);
  }
  return 0;
}

// A token's key; its value lies value_offset() behind the page's keys.
template <typename Machine>
WENQU_DEVICE std::byte* cache_head(Machine& m, const CacheRows& cache, int sequence, int position, int head) {
  std::byte* const page = m.load(cache.pages + m.load(cache.first_page + sequence) + position / kPageTokens);
  const size_t head_bytes = static_cast<size_t>(kPageTokens) * static_cast<size_t>(cache.key_bytes + cache.value_bytes);
  return page + cache.layer_offset + static_cast<size_t>(head) * head_bytes;
}
template <typename Machine>
WENQU_DEVICE std::byte* cache_key(Machine& m, const CacheRows& cache, int sequence, int position, int head) {
  return cache_head(m, cache, sequence, position, head) + static_cast<size_t>(position % kPageTokens) * cache.key_bytes;
}
template <typename Machine>
WENQU_DEVICE std::byte* cache_value(Machine& m, const CacheRows& cache, int sequence, int position, int head) {
  return cache_head(m, cache, sequence, position, head) + static_cast<size_t>(kPageTokens) * cache.key_bytes +
         static_cast<size_t>(position % kPageTokens) * cache.value_bytes;
}

// Rotary position embedding (engine/ops/rope.h) of numbers [offset, offset + 2 * pairs) of a row.
struct Rotation {
  const float* cos = nullptr;    // [tokens][pairs], magnitude included
  const float* sin = nullptr;
  int pairs = 0, offset = 0;
  bool adjacent = false;         // (0,1), (2,3) ...; else (0,pairs), (1,pairs+1) ...

  WENQU_BOTH constexpr int first(int pair) const { return offset + (adjacent ? 2 * pair : pair); }
  WENQU_BOTH constexpr int apart() const { return adjacent ? 1 : pairs; }
  WENQU_BOTH constexpr bool turns(int i) const { return i >= offset && i < offset + 2 * pairs; }
};

// RMS norm of a row's first numbers.
struct RowNorm {
  const float* weight = nullptr;   // [n]; nullptr: no norm
  int n = 0;
  float epsilon = 0;
};

template <typename Machine>
WENQU_DEVICE Float2 rotated(Machine& m, const Rotation& rotation, int token, int pair, float a, float b) {
  const float c = m.load(rotation.cos + static_cast<size_t>(token) * rotation.pairs + pair);
  const float s = m.load(rotation.sin + static_cast<size_t>(token) * rotation.pairs + pair);
  return {m.times(a, c) - m.times(b, s), m.times(a, s) + m.times(b, c)};   // as the host turns them
}

// Queries are normed and turned, in place or to where absorbed MLA wants them. A warp takes a head's.
struct QueryRows {
  float* queries = nullptr;    // [tokens][heads][stride]
  int heads = 0, stride = 0;
  RowNorm norm = {};           // the same for every head
  Rotation rotation = {};
  // Of the first `absorbed` tokens, turned numbers go to [tokens][heads][turned_stride], behind the part that k_b
  // carries into the latent space, and those before them are rounded, for k_b.
  int absorbed = 0;
  float* turned = nullptr;
  int turned_stride = 0;
  Rounded rounded = {};        // [tokens][heads]

  template <typename Machine>
  WENQU_DEVICE void place(Machine& m, int head, int token) const {
    const size_t row = static_cast<size_t>(token) * heads + head;
    float* const x = queries + row * stride;
    float factor = 1;
    if (norm.weight) {
      float squares = 0;
      for (int i = m.lane(); i < norm.n; i += kWarp) {
        const float v = m.load(x + i);
        squares += v * v;
      }
      factor = m.rsqrt(warp_sum(m, squares) / static_cast<float>(norm.n) + norm.epsilon);
      m.warp_barrier();   // all have read what some will change
    }
    const auto normed = [&](int i) {
      const float v = m.load(x + i);
      return norm.weight && i < norm.n ? v * factor * m.load(norm.weight + i) : v;
    };
    float* const to = token < absorbed ? turned + row * turned_stride : x + rotation.offset;
    for (int p = m.lane(); p < rotation.pairs; p += kWarp) {
      const int i = rotation.first(p), k = i + rotation.apart();
      const Float2 v = rotated(m, rotation, token, p, normed(i), normed(k));
      m.store(to + i - rotation.offset, v.x);
      m.store(to + k - rotation.offset, v.y);
    }
    if (token < absorbed)
      for (int b = 0; b < divide_up(rotation.offset, kBlock); ++b) {
        const int i = b * kBlock + m.lane();
        store_rounded(m, rounded, static_cast<int>(row), b, i < rotation.offset ? normed(i) : 0);
      }
    if (!norm.weight) return;
    for (int i = m.lane(); i < norm.n; i += kWarp)
      if (!rotation.turns(i)) m.store(x + i, normed(i));
  }
};

// One number as a half float, as the host's cache has it: the largest where it is beyond the range, and NaN stays NaN.
template <typename Machine>
WENQU_DEVICE Half cache_half(Machine& m, float value) {
  return value == value ? m.to_half(value) : Half{0x7E00};
}

template <typename Machine>
WENQU_DEVICE Bfloat cache_bfloat(Machine& m, float value) {
  const uint32_t bits = m.bits(value);
  return {static_cast<uint16_t>(value == value ? (bits + 0x7FFF + (bits >> 16 & 1)) >> 16 : 0x7FC0)};
}

// As engine/cpu/fp8.h rounds. REQUIRES: no NaN.
template <typename Machine>
WENQU_DEVICE uint8_t cache_fp8(Machine& m, float value) {
  const uint32_t sign = m.bits(value) >> 24 & 0x80;
  float magnitude = value < 0 ? -value : value;
  magnitude = magnitude > 448.0f ? 448.0f : magnitude;
  if (magnitude < 0.015625f) return static_cast<uint8_t>(sign | static_cast<uint32_t>(m.round(magnitude * 512.0f)));
  uint32_t rest = m.bits(magnitude);
  rest += 0x7FFFF + (rest >> 20 & 1);
  return static_cast<uint8_t>(sign | ((rest >> 20) - (120 << 3)));
}

// A block of a row in FP8, by a warp.
template <typename Machine, typename Get>
WENQU_DEVICE void store_fp8_block(Machine& m, int first, int n, std::byte* block, const Get& get) {
  float values[kFp8Block / kWarp], largest = 0;
  int wrong = 0;
  WENQU_UNROLL
  for (int i = 0; i < kFp8Block / kWarp; ++i) {
    const int at = first + i * kWarp + m.lane();
    values[i] = at < n ? get(at) : 0;
    wrong |= values[i] == values[i] ? 0 : 1;
    const float magnitude = values[i] < 0 ? -values[i] : values[i];
    largest = magnitude > largest ? magnitude : largest;
  }
  largest = warp_max(m, largest);
  largest = largest > 3e38f ? 3e38f : largest;
  const float scale = warp_sum(m, wrong) > 0 ? m.as_float(0x7FC00000) : largest / 448.0f;
  if (m.lane() == 0) m.store(reinterpret_cast<float*>(block), scale);
  WENQU_UNROLL
  for (int i = 0; i < kFp8Block / kWarp; ++i) {
    const int at = i * kWarp + m.lane();
    if (first + at < n) m.store(reinterpret_cast<uint8_t*>(block + 4 + at), scale > 0 ? cache_fp8(m, values[i] / scale) : uint8_t{0});
  }
}

// Writes a row, `get(i)` being its numbers. Blocks of 32 or 128 go to warps.
template <typename Machine, typename Get>
WENQU_DEVICE void store_cache_row(Machine& m, KvType type, int n, std::byte* row, const Get& get) {
  if (type == KvType::f32)
    for (int i = m.thread(); i < n; i += m.threads()) m.store(reinterpret_cast<float*>(row) + i, get(i));
  if (type == KvType::f16)
    for (int i = m.thread(); i < n; i += m.threads()) m.store(reinterpret_cast<Half*>(row) + i, cache_half(m, get(i)));
  if (type == KvType::bf16)
    for (int i = m.thread(); i < n; i += m.threads()) m.store(reinterpret_cast<Bfloat*>(row) + i, cache_bfloat(m, get(i)));
  if (type == KvType::fp8)
    for (int b = m.warp(); b < divide_up(n, kFp8Block); b += m.warps()) store_fp8_block(m, b * kFp8Block, n, row + b * kFp8BlockBytes, get);
  if (type != KvType::q8_0) return;
  for (int b = m.warp(); b < divide_up(n, kBlock); b += m.warps()) {
    const int i = b * kBlock + m.lane();
    const float value = i < n ? get(i) : 0;
    const bool wrong = warp_sum(m, value == value ? 0 : 1) > 0;   // a block with a NaN has a NaN for its scale
    const Half d = wrong ? Half{0x7E00} : m.to_half(warp_max(m, value < 0 ? -value : value) / 127.0f);
    const float scale = m.to_float(d);
    float whole = scale > 0 ? value / scale : 0;
    whole = whole > 127.0f ? 127.0f : whole < -127.0f ? -127.0f : whole;
    std::byte* const block = row + b * 34;
    m.store(reinterpret_cast<int8_t*>(block + 2 + m.lane()), static_cast<int8_t>(m.round(whole)));
    if (m.lane() == 0) m.store(reinterpret_cast<Half*>(block), d);
  }
}

// Keys are normed and turned, and with their values written to the cache. A block takes a head's.
struct KeyRows {
  const float* keys = nullptr;     // [tokens][key_stride]: a key for each head
  int key_stride = 0;
  const float* values = nullptr;   // [tokens][value_stride]; unused where the cache keeps none
  int value_stride = 0;
  const Place* places = nullptr;   // [tokens]
  RowNorm norm = {};               // of each head's key; MLA norms the latent part of it
  Rotation rotation = {};
  CacheRows cache = {};

  template <typename Machine>
  WENQU_DEVICE void store(Machine& m, int head, int token) const {
    const auto scratch = m.template shared<float>(m.warps());
    const auto key = m.template shared<float>(cache.key);
    const Place place = m.load(places + token);
    const float* const from = keys + static_cast<size_t>(token) * key_stride + head * cache.key;
    float squares = 0;
    for (int i = m.thread(); i < cache.key; i += m.threads()) {
      const float v = m.load(from + i);
      key.set(i, v);
      if (i < norm.n) squares += v * v;
    }
    if (norm.weight) {
      squares = warp_sum(m, squares);
      if (m.lane() == 0) scratch.set(m.warp(), squares);
    }
    m.barrier();
    if (norm.weight) {
      float sum = 0;
      for (int i = 0; i < m.warps(); ++i) sum += scratch.get(i);
      const float factor = m.rsqrt(sum / static_cast<float>(norm.n) + norm.epsilon);
      for (int i = m.thread(); i < norm.n; i += m.threads()) key.set(i, key.get(i) * factor * m.load(norm.weight + i));
      m.barrier();
    }
    for (int p = m.thread(); p < rotation.pairs; p += m.threads()) {
      const int i = rotation.first(p), k = i + rotation.apart();
      const Float2 v = rotated(m, rotation, token, p, key.get(i), key.get(k));
      key.set(i, v.x);
      key.set(k, v.y);
    }
    m.barrier();
    store_cache_row(m, cache.type, cache.key, cache_key(m, cache, place.sequence, place.position, head), [&](int i) { return key.get(i); });
    if (cache.value == 0) return;
    const float* const value = values + static_cast<size_t>(token) * value_stride + head * cache.value;
    store_cache_row(m, cache.type, cache.value, cache_value(m, cache, place.sequence, place.position, head), [&](int i) { return m.load(value + i); });
  }
};

// Both for the tokens of a batch. grid: x over the heads of queries in fours, then those of keys; y over tokens.
// Shared memory: shared_bytes(key).
struct PlaceTokens {
  struct Arguments {
    QueryRows queries;
    KeyRows keys;
  };
  static constexpr int kThreads = 128;
  static constexpr int kHeads = kThreads / kWarp;
  static constexpr int shared_bytes(int key) { return round_up(kThreads / kWarp * 4, 16) + round_up(key * 4, 16); }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const int of_queries = divide_up(a.queries.heads, kHeads), token = m.block_y();
    if (m.block_x() >= of_queries) return a.keys.store(m, m.block_x() - of_queries, token);
    const int head = m.block_x() * kHeads + m.warp();
    if (head < a.queries.heads) a.queries.place(m, head, token);
  }
};

}  // namespace wenqu::engine::cuda
