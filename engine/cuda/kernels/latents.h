// Keys and values of heads, made of the cache's latents: the expanded form of multi-head latent attention
// (engine/ops/latent_attention.h), for prompts. They are half floats in scratch pages that lie as the cache's do, so
// that the kernels of attention.h read them.
//
//   key[h][t] = (k_b[h] transposed * latent[t], the turned part of t's row)      value[h][t] = v_b[h] * latent[t]
//
// A matrix is unpacked to halves once for a batch (HalfRows), then it is one product on tensor cores.
#pragma once

#include "engine/cuda/kernels/attention.h"
#include "engine/cuda/kernels/unpack.h"

namespace wenqu::engine::cuda {

// out = rows of weights as half floats. grid: x over the rows' pieces of 32 numbers in kThreads.
template <gguf::Type type>
struct HalfRows {
  struct Arguments {
    const std::byte* weights;   // rows as layout.h lays them, row_bytes apart
    size_t row_bytes;
    int rows, n;                // n: a multiple of 8
    Half* out;                  // [rows][n]
  };
  static constexpr int kThreads = 128;
  static constexpr int shared_bytes() { return 0; }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const int pieces = divide_up(a.n, kBlock), at = m.block_x() * kThreads + m.thread(), row = at / pieces, c = at % pieces;
    if (row >= a.rows) return;
    const std::byte* const from = a.weights + static_cast<size_t>(row) * a.row_bytes;
    Half* const out = a.out + static_cast<size_t>(row) * a.n;
    if constexpr (is_quantized(type)) {
      const Chunk w = chunk<type>(m, from, a.n, c);
      for (int r = 0; r < 2; ++r)
        for (int i = 0; i < 16; i += 8) {
          float v[8];
          for (int k = 0; k < 8; ++k) v[k] = w.scale[r] * static_cast<float>(static_cast<int8_t>(w.q[r][(i + k) / 4] >> (k % 4 * 8))) - w.minimum[r];
          put(m, out + w.at[r] + i, v);
        }
    } else {
      for (int i = c * kBlock; i < a.n && i < (c + 1) * kBlock; i += 8) {
        float v[8];
        for (int k = 0; k < 8; ++k) {
          if constexpr (type == gguf::Type::f32) v[k] = m.load(reinterpret_cast<const float*>(from) + i + k);
          if constexpr (type == gguf::Type::f16) v[k] = m.to_float(m.load(reinterpret_cast<const Half*>(from) + i + k));
          if constexpr (type == gguf::Type::bf16) v[k] = m.to_float(m.load(reinterpret_cast<const Bfloat*>(from) + i + k));
        }
        put(m, out + i, v);
      }
    }
  }

 private:
  template <typename Machine>
  WENQU_DEVICE static void put(Machine& m, Half* to, const float (&v)[8]) {
    m.store(reinterpret_cast<Word4*>(to), Word4{m.pack(v[0], v[1]), m.pack(v[2], v[3]), m.pack(v[4], v[5]), m.pack(v[6], v[7])});
  }
};

// Latents of one page that a block takes.
struct alignas(16) LatentTile {
  int32_t sequence = 0, first = 0, count = 0, unused = 0;   // positions first ..
};

// A block makes up to 128 numbers of a head's keys or values for up to 128 tokens, 32 numbers of the latents at a
// time. grid: x over heads * (pieces of a key's unturned part + pieces of a value), y over the tiles.
//
// REQUIRES: latent, nope, rope and value multiples of 8.
struct ExpandLatents {
  struct Arguments {
    CacheRows latents;           // one head, keys of latent + rope numbers
    CacheRows expanded;          // keys of nope + rope and values, F16
    const LatentTile* tiles;
    const Half* k_b;             // [heads][latent][nope]
    const Half* v_b;             // [heads][value][latent]
    int latent, nope, rope;
  };
  static constexpr int kThreads = 256, kMinBlocks = 2;
  static constexpr int kTokens = 128, kColumns = 128, kDepth = 32;
  static constexpr int kWarpTokens = 32, kWarpColumns = 64;
  static_assert(kPageTokens % kTokens == 0 && kTokens / kWarpTokens * (kColumns / kWarpColumns) == kThreads / kWarp);
  // Units of eight halves, an odd number of them from row to row.
  static constexpr int kDepthStride = kDepth / 8 + 1, kColumnStride = kColumns / 8 + 1;
  static constexpr int kLatentUnits = kTokens * kDepthStride, kMatrixUnits = kColumns * kDepthStride;
  static_assert(kMatrixUnits >= kDepth * kColumnStride);

  static constexpr int pieces(int numbers) { return divide_up(numbers, kColumns); }
  static constexpr int shared_bytes() { return 2 * 16 * (kLatentUnits + kMatrixUnits); }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const auto all_latents = m.template shared<Word4>(2 * kLatentUnits), all_columns = m.template shared<Word4>(2 * kMatrixUnits);
    const LatentTile tile = m.load(a.tiles + m.block_y());
    const int value = a.expanded.value, of_keys = divide_up(a.nope, kColumns), of_head = of_keys + divide_up(value, kColumns);
    const int head = m.block_x() / of_head, piece = m.block_x() % of_head;
    const bool is_key = piece < of_keys;
    const int first = (is_key ? piece : piece - of_keys) * kColumns, all = is_key ? a.nope : value;
    const int columns = all - first < kColumns ? all - first : kColumns;
    const std::byte* const latents = cache_key(m, a.latents, tile.sequence, tile.first, 0);
    const Half* const matrix = (is_key ? a.k_b + static_cast<size_t>(head) * a.latent * a.nope : a.v_b + static_cast<size_t>(head) * value * a.latent);

    const auto bring = [&](int depth, int buffer) {
      const int left = a.latent - depth;
      attending::fetch<kTokens, kThreads>(m, a.latents.type, latents, a.latents.key_bytes, tile.count, left / 8, kDepth / 8,
                                          all_latents.at(buffer * kLatentUnits, kLatentUnits), kDepthStride, depth / 8);
      const auto to = all_columns.at(buffer * kMatrixUnits, kMatrixUnits);
      if (is_key)
        attending::fetch<KvType::f16, kDepth, kThreads>(m, reinterpret_cast<const std::byte*>(matrix + static_cast<size_t>(depth) * a.nope + first),
                                                        a.nope * 2, left, columns / 8, kColumns / 8, to, kColumnStride);
      else
        attending::fetch<KvType::f16, kColumns, kThreads>(m, reinterpret_cast<const std::byte*>(matrix + static_cast<size_t>(first) * a.latent + depth),
                                                          a.latent * 2, columns, left / 8, kDepth / 8, to, kDepthStride);
    };

    constexpr int kRows = kWarpTokens / 16, kGroups = kWarpColumns / 8;
    const int token = m.warp() / 2 * kWarpTokens, column = m.warp() % 2 * kWarpColumns;
    float sums[kRows][kGroups][4] = {};
    for (int depth = -kDepth; depth < a.latent; depth += kDepth) {
      m.wait_copies();
      m.barrier();   // what was fetched is here for all, and nobody works any more on what is fetched over
      const int next = depth + kDepth;
      if (next < a.latent) bring(next, next / kDepth % 2);
      if (depth < 0) continue;
      const auto left = all_latents.at(depth / kDepth % 2 * kLatentUnits, kLatentUnits);
      const auto right = all_columns.at(depth / kDepth % 2 * kMatrixUnits, kMatrixUnits);
      Word4 l[kRows][2];
      WENQU_UNROLL
      for (int i = 0; i < kRows; ++i)
        WENQU_UNROLL
        for (int k = 0; k < 2; ++k) l[i][k] = m.matrices(left.at((token + i * 16 + m.lane() % 16) * kDepthStride + 2 * k + m.lane() / 16, 1));
      WENQU_UNROLL
      for (int n = 0; n < kGroups; ++n) {
        const int at = column + n * 8;
        if (at >= columns) continue;
        const Word4 r = is_key ? m.matrices_transposed(right.at(m.lane() * kColumnStride + at / 8, 1))
                               : m.matrices(right.at((at + m.lane() % 8) * kDepthStride + m.lane() / 8, 1));
        WENQU_UNROLL
        for (int i = 0; i < kRows; ++i) {
          m.mma_f16(sums[i][n], {l[i][0].x, l[i][0].y, l[i][0].z, l[i][0].w}, {r.x, r.y});
          m.mma_f16(sums[i][n], {l[i][1].x, l[i][1].y, l[i][1].z, l[i][1].w}, {r.z, r.w});
        }
      }
    }

    std::byte* const rows = is_key ? cache_key(m, a.expanded, tile.sequence, tile.first, head) : cache_value(m, a.expanded, tile.sequence, tile.first, head);
    const int row_bytes = is_key ? a.expanded.key_bytes : a.expanded.value_bytes;
    WENQU_UNROLL
    for (int i = 0; i < 2 * kRows; ++i) {
      const int t = token + i / 2 * 16 + i % 2 * 8 + m.lane() / 4;
      if (t >= tile.count) continue;
      WENQU_UNROLL
      for (int n = 0; n < kGroups; ++n) {
        const int at = column + n * 8;
        if (at >= columns) continue;
        const float* const pair = sums[i / 2][n] + i % 2 * 2;
        m.store(reinterpret_cast<uint32_t*>(rows + static_cast<size_t>(t) * row_bytes) + (first + at) / 2 + m.lane() % 4, m.pack(pair[0], pair[1]));
      }
    }
    if (!is_key || first > 0) return;
    for (int u = m.thread(); u < tile.count * (a.rope / 8); u += kThreads) {
      const int t = u / (a.rope / 8), unit = u % (a.rope / 8);
      m.store(reinterpret_cast<Word4*>(rows + static_cast<size_t>(t) * row_bytes) + a.nope / 8 + unit,
              attending::eight_halves(m, a.latents.type, latents + static_cast<size_t>(t) * a.latents.key_bytes, a.latent / 8 + unit));
    }
  }
};

}  // namespace wenqu::engine::cuda
