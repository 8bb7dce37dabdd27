// Attention of a batch's queries to the cache's pages on tensor cores, with the online softmax of Milakov and
// Gimelshein (2018) that FlashAttention (arXiv 2205.14135) builds on: keys pass once, a tile at a time.
//
// All query heads that share a head of keys, and all tokens of a run of one sequence, are rows of one product. So a key
// is read once for a tile of rows, however many heads want it. In absorbed MLA all heads share the latents, whose
// first numbers are the values too (`values_are_keys`).
//
// Long contexts are split over blocks; what these give, unnormed, is put together by CombineSplits.
//
// Keys and values may lie in scratch as well: whatever a list of pages names that are laid out as the cache's are.
// Expanded MLA is this kernel with pages that ExpandLatents (latents.h) filled, for some of the heads at a time.
#pragma once

#include <type_traits>

#include "engine/cuda/kernels/cache_rows.h"

namespace wenqu::engine::cuda {

// Rows that a block works on: some heads of consecutive tokens of one sequence.
struct alignas(16) QueryTile {
  int32_t first_token = 0, tokens = 0;
  int32_t first_head = 0, heads = 0;   // of those that share a head of keys; all of them where `tokens` > 1
};

struct AttentionArguments {
  const float* queries;     // [tokens][row_heads][key], of which the first `heads` count
  float* out;               // [tokens][row_heads][value]
  float* partial;           // [tokens][heads][splits][value] sums; unused with one split
  Float2* partial_scale;    // [tokens][heads][splits] the largest score, the sum of exp(score - largest)
  const QueryTile* tiles;
  const Place* places;      // [tokens]; a token sees its sequence's up to itself
  CacheRows cache;
  int heads, row_heads;
  int splits;
  int value;                // numbers of a value
  bool values_are_keys;
  float scale;              // on query * key
  int split_keys = 0;       // at least as many keys go to a split: short contexts do without the last splits
  int buffers = 1;          // 2: keys are fetched while those before are worked on; 1: where shared memory is short
};

namespace attending {

// Numbers 8 * unit .. 8 * unit + 7 of a row as halves.
template <KvType type, typename Machine>
WENQU_DEVICE Word4 eight_halves(Machine& m, const std::byte* row, int unit) {
  if constexpr (type == KvType::f16) {
    return m.load(reinterpret_cast<const Word4*>(row) + unit);
  } else if constexpr (type == KvType::bf16) {
    const Word4 pairs = m.load(reinterpret_cast<const Word4*>(row) + unit);
    const uint32_t from[4] = {pairs.x, pairs.y, pairs.z, pairs.w};
    uint32_t words[4];
    WENQU_UNROLL
    for (int i = 0; i < 4; ++i) words[i] = m.pack(m.as_float(from[i] << 16), m.as_float(from[i] & 0xFFFF0000));
    return {words[0], words[1], words[2], words[3]};
  } else if constexpr (type == KvType::fp8) {
    constexpr int kUnits = kFp8Block / 8;
    const std::byte* const block = row + unit / kUnits * kFp8BlockBytes;
    const float scale = m.load(reinterpret_cast<const float*>(block));
    uint32_t words[4];
    WENQU_UNROLL
    for (int i = 0; i < 2; ++i) {   // blocks are aligned to four bytes
      const uint32_t four = m.load(reinterpret_cast<const uint32_t*>(block + 4 + unit % kUnits * 8) + i);
      const Float4 v = m.fp8_to_float(four);
      words[2 * i] = m.pack(scale * v.x, scale * v.y), words[2 * i + 1] = m.pack(scale * v.z, scale * v.w);
    }
    return {words[0], words[1], words[2], words[3]};
  } else if constexpr (type == KvType::f32) {
    const Float4* const from = reinterpret_cast<const Float4*>(row) + 2 * unit;
    const Float4 a = m.load(from), b = m.load(from + 1);
    return {m.pack(a.x, a.y), m.pack(a.z, a.w), m.pack(b.x, b.y), m.pack(b.z, b.w)};
  } else {
    static_assert(type == KvType::q8_0);
    const std::byte* const block = row + unit / 4 * 34;
    const float scale = m.to_float(m.load(reinterpret_cast<const Half*>(block)));
    uint32_t words[4];
    WENQU_UNROLL
    for (int i = 0; i < 4; ++i) {   // blocks are aligned to two bytes only
      const uint16_t pair = m.load(reinterpret_cast<const uint16_t*>(block + 2 + unit % 4 * 8) + i);
      words[i] = m.pack(scale * static_cast<float>(static_cast<int8_t>(pair)),
                        scale * static_cast<float>(static_cast<int8_t>(pair >> 8)));
    }
    return {words[0], words[1], words[2], words[3]};
  }
}

template <typename Machine>
WENQU_DEVICE Word4 eight_halves(Machine& m, KvType type, const std::byte* row, int unit) {
  switch (type) {
    case KvType::f32: return eight_halves<KvType::f32>(m, row, unit);
    case KvType::f16: return eight_halves<KvType::f16>(m, row, unit);
    case KvType::bf16: return eight_halves<KvType::bf16>(m, row, unit);
    case KvType::q8_0: return eight_halves<KvType::q8_0>(m, row, unit);
    case KvType::fp8: return eight_halves<KvType::fp8>(m, row, unit);
  }
  return {};
}

// Brings `count` of Keys rows to shared memory, `stride` units of eight apart, and zeros for the others and behind a
// row's end: `units` are filled, of which the row has `own`, beginning with its `first`. Halves are copied while the thread goes on.
template <KvType type, int Keys, int Threads, typename Machine, typename Shared>
WENQU_DEVICE void fetch(Machine& m, const std::byte* rows, int row_bytes, int count, int own, int units, Shared to,
                        int stride, int first = 0) {
  constexpr int kTogether = 4;   // loads on their way at once, where numbers are to be converted
  int row = m.thread() / units, unit = m.thread() % units;
  const int row_step = Threads / units, unit_step = Threads % units;
  const auto next = [&] {
    row += row_step, unit += unit_step;
    if (unit >= units) unit -= units, ++row;
  };
  if constexpr (type == KvType::f16) {
    for (; row < Keys; next()) {
      if (row < count && unit < own)
        m.copy_async(to, row * stride + unit,
                     reinterpret_cast<const Word4*>(rows + static_cast<size_t>(row) * row_bytes) + first + unit);
      else
        to.set(row * stride + unit, Word4{0, 0, 0, 0});
    }
  } else {
    while (row < Keys) {
      Word4 loaded[kTogether];
      int at[kTogether];
      WENQU_UNROLL
      for (int i = 0; i < kTogether; ++i, next()) {
        at[i] = row < Keys ? row * stride + unit : -1;
        loaded[i] = Word4{0, 0, 0, 0};
        if (row < count && unit < own)
          loaded[i] = eight_halves<type>(m, rows + static_cast<size_t>(row) * row_bytes, first + unit);
      }
      WENQU_UNROLL
      for (int i = 0; i < kTogether; ++i)
        if (at[i] >= 0) to.set(at[i], loaded[i]);
    }
  }
}

template <int Keys, int Threads, typename Machine, typename Shared>
WENQU_DEVICE void fetch(Machine& m, KvType type, const std::byte* rows, int row_bytes, int count, int own, int units,
                        Shared to, int stride, int first = 0) {
  const auto as = [&](auto constant) { fetch<constant.value, Keys, Threads>(m, rows, row_bytes, count, own, units, to, stride, first); };
  switch (type) {
    case KvType::f32: return as(std::integral_constant<KvType, KvType::f32>());
    case KvType::f16: return as(std::integral_constant<KvType, KvType::f16>());
    case KvType::bf16: return as(std::integral_constant<KvType, KvType::bf16>());
    case KvType::q8_0: return as(std::integral_constant<KvType, KvType::q8_0>());
    case KvType::fp8: return as(std::integral_constant<KvType, KvType::fp8>());
  }
}

// Units of eight halves. An odd number of them apart, eight rows' units lie in different banks.
WENQU_BOTH constexpr int key_units(int key) { return round_up(key, 32) / 8; }
WENQU_BOTH constexpr int key_stride(int key) { return key_units(key) + 1; }
WENQU_BOTH constexpr int value_stride(int value) { return value / 8 | 1; }

WENQU_DEVICE float larger(float a, float b) { return a > b ? a : b; }

}  // namespace attending

// A block has Rows tiles of 16 rows. Each tile belongs to Split warps, which share its work: each takes a part of the
// keys for the scores, and then, when the others' probabilities are known, up to Columns * 8 numbers of the values.
// Keys is how many keys pass at a time. grid: x over splits, y over heads of keys, z over query tiles.
//
// REQUIRES: key and value multiples of 8, value <= Split * Columns * 8; split_keys a multiple of Keys.
template <int Rows, int Split, int Columns, int Keys>
struct Attention {
  using Arguments = AttentionArguments;
  static constexpr int kRows = Rows * 16, kKeys = Keys;
  static constexpr int kMaxValue = Split * Columns * 8;
  static constexpr int kThreads = Rows * Split * kWarp;
  static constexpr int kMinBlocks = kThreads > 128 ? 1 : 2;
  static constexpr int kScores = Keys / Split / 8;                    // tiles of eight keys that a warp scores
  static constexpr int kProbabilityStride = (Keys + 8) / 2;           // words: two halves each
  static_assert(kPageTokens % Keys == 0 && Keys % 32 == 0 && kScores >= 1 && (Split > 1 || kScores % 2 == 0));

  static constexpr int shared_bytes(int key, int value, bool values_are_keys, int buffers) {
    const int of_values = values_are_keys ? 0 : buffers * Keys * attending::value_stride(value);
    const int units = (kRows + buffers * Keys) * attending::key_stride(key) + of_values;
    return 16 * units + (Split > 1 ? kRows * (kProbabilityStride + Split) * 4 : 0);
  }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    using namespace attending;
    const float kNothing = m.as_float(0xFF800000);   // -infinity
    const int units = key_units(a.cache.key), stride = key_stride(a.cache.key);
    const int columns_stride = a.values_are_keys ? stride : value_stride(a.value);
    const auto queries = m.template shared<Word4>(kRows * stride);
    const auto all_keys = m.template shared<Word4>(a.buffers * Keys * stride);
    const auto all_values = a.values_are_keys ? all_keys : m.template shared<Word4>(a.buffers * Keys * columns_stride);
    const auto probabilities = m.template shared<uint32_t>(Split > 1 ? kRows * kProbabilityStride : 0);
    const auto exchanged = m.template shared<float>(Split > 1 ? kRows * Split : 0);

    const QueryTile tile = m.load(a.tiles + m.block_z());
    const int rows = tile.tokens * tile.heads, group = a.heads / a.cache.heads;
    const int first_head = m.block_y() * group + tile.first_head;
    const Place last = m.load(a.places + tile.first_token + tile.tokens - 1);
    const int seen = last.position + 1, needed = round_up(divide_up(seen, a.splits), Keys);
    const int share = needed > a.split_keys ? needed : a.split_keys;
    const int begin = m.block_x() * share, end = begin + share < seen ? begin + share : seen;

    // What this lane holds of: rows g and g + 8 of the warp's tile.
    const int part = m.warp() % Split, base = m.warp() / Split * 16, g = m.lane() / 4, t = m.lane() % 4;
    const int row[2] = {base + g, base + g + 8};
    int position[2];
    size_t place[2], split_place[2];   // of the row in [tokens][row_heads], in [tokens][heads]
    WENQU_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int token = tile.first_token + (row[i] < rows ? row[i] / tile.heads : 0);
      position[i] = row[i] < rows ? m.load(a.places + token).position : -1;
      const int own_head = first_head + row[i] % tile.heads;
      place[i] = static_cast<size_t>(token) * a.row_heads + own_head;
      split_place[i] = static_cast<size_t>(token) * a.heads + own_head;
    }
    if (begin >= end) {   // of a sequence too short to be split so often
      if (part == 0 && t == 0)
        for (int i = 0; i < 2; ++i)
          if (row[i] < rows) m.store(a.partial_scale + split_place[i] * a.splits + m.block_x(), Float2{kNothing, 0});
      return;
    }

    for (int u = m.thread(); u < kRows * units; u += kThreads) {
      const int r = u / units, unit = u % units;
      Word4 halves = {};
      if (r < rows && unit < a.cache.key / 8) {
        const size_t token = static_cast<size_t>(tile.first_token + r / tile.heads);
        const size_t at = token * a.row_heads + first_head + r % tile.heads;
        const Float4* const from = reinterpret_cast<const Float4*>(a.queries + at * a.cache.key) + 2 * unit;
        const Float4 x = m.load(from), y = m.load(from + 1);
        halves = {m.pack(x.x * a.scale, x.y * a.scale), m.pack(x.z * a.scale, x.w * a.scale),
                  m.pack(y.x * a.scale, y.y * a.scale), m.pack(y.z * a.scale, y.w * a.scale)};
      }
      queries.set(r * stride + unit, halves);
    }

    const bool active = base < rows;   // else the tile is empty: the warp helps to copy
    const int mine = divide_up(a.value / 8, Split), first_column = part * mine;
    const int columns = a.value / 8 - first_column < mine ? a.value / 8 - first_column : mine;   // may be none
    float sums[Columns][4] = {};
    float largest[2] = {kNothing, kNothing}, total[2] = {0, 0};   // `total`: of the keys that this lane scored

    const auto bring = [&](int first, int buffer) {
      const int count = end - first < Keys ? end - first : Keys, slot = first % kPageTokens;
      const std::byte* const head = cache_head(m, a.cache, last.sequence, first, m.block_y());
      fetch<Keys, kThreads>(m, a.cache.type, head + slot * a.cache.key_bytes, a.cache.key_bytes, count, a.cache.key / 8, units,
                            all_keys.at(buffer * Keys * stride, Keys * stride), stride);
      if (a.values_are_keys) return;
      const std::byte* const head_values = head + kPageTokens * a.cache.key_bytes;
      fetch<Keys, kThreads>(m, a.cache.type, head_values + slot * a.cache.value_bytes, a.cache.value_bytes, count, a.value / 8,
                            a.value / 8, all_values.at(buffer * Keys * columns_stride, Keys * columns_stride), columns_stride);
    };
    const auto buffer_of = [&](int first) { return a.buffers > 1 ? (first - begin) / Keys % 2 : 0; };
    const int lead = a.buffers > 1 ? Keys : 0;
    for (int ahead = begin; ahead < end + lead; ahead += Keys) {
      const int first = ahead - lead;
      if (a.buffers > 1) m.wait_copies();
      m.barrier();   // what was fetched is here for all, and nobody works any more on what is fetched over
      if (ahead < end) bring(ahead, buffer_of(ahead));
      if (first < begin) continue;
      if (a.buffers == 1) {
        m.wait_copies();
        m.barrier();
      }
      const auto keys = all_keys.at(buffer_of(first) * Keys * stride, Keys * stride);
      const auto values = all_values.at(buffer_of(first) * Keys * columns_stride, Keys * columns_stride);
      const int count = end - first < Keys ? end - first : Keys;

      float scores[kScores][4] = {};
      float most[2] = {kNothing, kNothing};
      if (active) {
        for (int u = 0; u < units; u += 4) {   // 32 numbers of the keys
          const int at = (base + m.lane() % 16) * stride + u + m.lane() / 16;
          const Word4 q0 = m.matrices(queries.at(at, 1)), q1 = m.matrices(queries.at(at + 2, 1));
          WENQU_UNROLL
          for (int n = 0; n < kScores; ++n) {
            const int key = (part * kScores + n) * 8 + m.lane() % 8;
            const Word4 k = m.matrices(keys.at(key * stride + u + m.lane() / 8, 1));
            m.mma_f16(scores[n], {q0.x, q0.y, q0.z, q0.w}, {k.x, k.y});
            m.mma_f16(scores[n], {q1.x, q1.y, q1.z, q1.w}, {k.z, k.w});
          }
        }
        WENQU_UNROLL
        for (int n = 0; n < kScores; ++n)
          WENQU_UNROLL
          for (int i = 0; i < 4; ++i) {
            if (first + (part * kScores + n) * 8 + 2 * t + i % 2 > position[i / 2]) scores[n][i] = kNothing;
            most[i / 2] = larger(most[i / 2], scores[n][i]);
          }
        WENQU_UNROLL
        for (int i = 0; i < 2; ++i) {
          most[i] = larger(most[i], m.shuffle_xor(most[i], 1));
          most[i] = larger(most[i], m.shuffle_xor(most[i], 2));
        }
      }
      if constexpr (Split > 1) {
        if (t == 0) exchanged.set(row[0] * Split + part, most[0]), exchanged.set(row[1] * Split + part, most[1]);
        m.barrier();
        WENQU_UNROLL
        for (int i = 0; i < 2; ++i)
          WENQU_UNROLL
          for (int p = 0; p < Split; ++p) most[i] = larger(most[i], exchanged.get(row[i] * Split + p));
      }
      float fade[2];   // what is there was summed with a smaller largest score
      WENQU_UNROLL
      for (int i = 0; i < 2; ++i) {
        most[i] = larger(most[i], largest[i]);
        const float from = most[i] == kNothing ? 0 : most[i];   // a row that sees none of these keys, nor any before
        fade[i] = m.exp(largest[i] - from);
        largest[i] = most[i];
        total[i] *= fade[i];
        WENQU_UNROLL
        for (int n = 0; n < kScores; ++n)
          WENQU_UNROLL
          for (int k = 2 * i; k < 2 * i + 2; ++k) total[i] += scores[n][k] = m.exp(scores[n][k] - from);
      }
      if constexpr (Split > 1) {
        WENQU_UNROLL
        for (int n = 0; n < kScores; ++n)
          WENQU_UNROLL
          for (int i = 0; i < 2; ++i)
            probabilities.set(row[i] * kProbabilityStride + (part * kScores + n) * 4 + t,
                              m.pack(scores[n][2 * i], scores[n][2 * i + 1]));
        m.barrier();
      }
      if (active) {
        WENQU_UNROLL
        for (int n = 0; n < Columns; ++n)
          WENQU_UNROLL
          for (int i = 0; i < 4; ++i) sums[n][i] *= fade[i / 2];
        WENQU_UNROLL
        for (int k = 0; k < Keys / 32; ++k) {
          if (k * 32 >= count) continue;
          uint32_t p[2][4];
          WENQU_UNROLL
          for (int i = 0; i < 2; ++i) {
            if constexpr (Split > 1) {
              const int at = (base + m.lane() % 16) * kProbabilityStride + (2 * k + i) * 8 + m.lane() / 16 * 4;
              const Word4 v = m.matrices(probabilities.at(at, 4));
              p[i][0] = v.x, p[i][1] = v.y, p[i][2] = v.z, p[i][3] = v.w;
            } else {   // a product's result lies as the next one's left side is wanted
              WENQU_UNROLL
              for (int j = 0; j < 4; ++j) {
                const float* const from = scores[4 * k + 2 * i + j / 2] + j % 2 * 2;
                p[i][j] = m.pack(from[0], from[1]);
              }
            }
          }
          WENQU_UNROLL
          for (int n = 0; n < Columns; ++n) {
            if (n >= columns) continue;
            const int at = (k * 32 + m.lane()) * columns_stride + first_column + n;
            const Word4 v = m.matrices_transposed(values.at(at, 1));
            m.mma_f16(sums[n], p[0], {v.x, v.y});
            m.mma_f16(sums[n], p[1], {v.z, v.w});
          }
        }
      }
    }

    WENQU_UNROLL
    for (int i = 0; i < 2; ++i) {
      total[i] += m.shuffle_xor(total[i], 1);
      total[i] += m.shuffle_xor(total[i], 2);
    }
    if constexpr (Split > 1) {
      m.barrier();
      if (t == 0) exchanged.set(row[0] * Split + part, total[0]), exchanged.set(row[1] * Split + part, total[1]);
      m.barrier();
      WENQU_UNROLL
      for (int i = 0; i < 2; ++i) {
        total[i] = 0;
        WENQU_UNROLL
        for (int p = 0; p < Split; ++p) total[i] += exchanged.get(row[i] * Split + p);
      }
    }
    WENQU_UNROLL
    for (int i = 0; i < 2; ++i) {
      if (row[i] >= rows) continue;
      const size_t at = split_place[i] * a.splits + m.block_x();
      float* const out = a.splits > 1 ? a.partial + at * a.value : a.out + place[i] * a.value;
      const float factor = a.splits > 1 ? 1.0f : 1.0f / total[i];
      if (a.splits > 1 && part == 0 && t == 0) m.store(a.partial_scale + at, Float2{largest[i], total[i]});
      WENQU_UNROLL
      for (int n = 0; n < Columns; ++n)
        if (n < columns)
          m.store(reinterpret_cast<Float2*>(out + (first_column + n) * 8 + 2 * t),
                  Float2{sums[n][2 * i] * factor, sums[n][2 * i + 1] * factor});
    }
  }
};

// One token's heads, or those of few tokens: decoding. Values of up to 128 numbers, and of up to 512 (absorbed MLA).
using FewRows = Attention<1, 4, 4, 64>;
using FewWideRows = Attention<1, 4, 16, 32>;
// Prompts, and the many heads of large models: the same. The more rows meet a key, the less it costs to bring it to
// them; of wide rows, the most where shared memory has room for them.
using ManyRows = Attention<4, 1, 16, 64>;
using SomeWideRows = Attention<2, 4, 16, 32>;
using ManyWideRows = Attention<4, 2, 32, 32>;

// out = the splits' sums, each as far below the largest score as it is. A warp takes 128 numbers of a row; grid: x over
// [tokens][heads] in fours, y over the values in 128s.
struct CombineSplits {
  struct Arguments {
    const float* partial;          // [rows][splits][value]
    const Float2* partial_scale;   // [rows][splits]
    float* out;                    // [tokens][row_heads][value]
    int rows, splits, value;
    int heads, row_heads;          // rows are [tokens][heads]
    Rounded rounded;               // out rounded, rows as there; q nullptr: not wanted. REQUIRES then: value a multiple of 32
  };
  static constexpr int kThreads = 128;
  static constexpr int kRows = kThreads / kWarp, kColumns = kWarp * 4;
  static constexpr int shared_bytes() { return 0; }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const int row = m.block_x() * kRows + m.warp(), column = m.block_y() * kColumns + m.lane() * 4;
    if (row >= a.rows) return;
    const Float2* const scales = a.partial_scale + static_cast<size_t>(row) * a.splits;
    // Those that had keys are the first ones; the others wrote no sums. A lane sees to every 32nd.
    float largest = m.as_float(0xFF800000);
    int live = 0;
    for (int s = m.lane(); s < a.splits; s += kWarp) {
      const Float2 scale = m.load(scales + s);
      largest = attending::larger(largest, scale.x);
      live += scale.y > 0;
    }
    largest = warp_max(m, largest), live = warp_sum(m, live);
    Float4 sum = {0, 0, 0, 0};
    float total = 0;
    for (int first = 0; first < live; first += kWarp) {
      const int count = live - first < kWarp ? live - first : kWarp;
      float factor = 0;
      if (m.lane() < count) {
        const Float2 scale = m.load(scales + first + m.lane());
        factor = m.exp(scale.x - largest);
        total += factor * scale.y;
      }
      const float* const from = a.partial + (static_cast<size_t>(row) * a.splits + first) * a.value + column;
      for (int s = 0; s < count; ++s) {
        const float f = m.shuffle(factor, s);
        if (column >= a.value) continue;
        const Float4 v = m.load(reinterpret_cast<const Float4*>(from + static_cast<size_t>(s) * a.value));
        sum = {sum.x + f * v.x, sum.y + f * v.y, sum.z + f * v.z, sum.w + f * v.w};
      }
    }
    total = warp_sum(m, total);
    sum = {sum.x / total, sum.y / total, sum.z / total, sum.w / total};
    const int place = row / a.heads * a.row_heads + row % a.heads;
    if (column < a.value) m.store(reinterpret_cast<Float4*>(a.out + static_cast<size_t>(place) * a.value + column), sum);
    if (a.rounded.q) store_rounded_fours(m, a.rounded, place, column, sum, column < a.value);
  }
};

}  // namespace wenqu::engine::cuda
