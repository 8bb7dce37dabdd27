// Products of weights with many rows of input by warpgroups (Hopper): a block takes 128 rows of weights and up to 128 rows of
// input, both as halves, 64 numbers deep. While the tensor cores multiply what is there, the threads unpack and bring what
// comes next into the other half of the shared memory.
//
// Weights become the halves nearest to scale * q - minimum. The input's rows are scaled by powers of two, so that
// their largest number is near the end of a half's range, and sums are floats: what is lost is less than by rounding
// the input to bytes, as the kernels of matmul.h do.
#pragma once

#include "engine/cuda/kernels/matmul.h"

namespace wenqu::engine::cuda {

// Rows of floats as halves. grid: x over rows.
struct HalveRows {
  struct Arguments {
    const float* values;   // [rows][value_stride], the first n count
    int value_stride, n;
    Halves halves;
  };
  static constexpr int kThreads = 256;
  static constexpr int shared_bytes() { return kThreads / kWarp * static_cast<int>(sizeof(float)); }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const auto of_warps = m.template shared<float>(kThreads / kWarp);
    const size_t row = static_cast<size_t>(m.block_x());
    const float* const x = a.values + row * a.value_stride;
    float largest = 0;
    for (int i = m.thread(); i < a.n; i += kThreads) {
      const float v = m.load(x + i), size = v < 0 ? -v : v;
      largest = size > largest ? size : largest;
    }
    largest = warp_max(m, largest);
    if (m.lane() == 0) of_warps.set(m.warp(), largest);
    m.barrier();
    for (int i = 0; i < kThreads / kWarp; ++i) largest = of_warps.get(i) > largest ? of_warps.get(i) : largest;
    // Scaled, the largest has the exponent 14 of the 15 that halves have. 127 is a float's exponent 0.
    constexpr int kExponent = 127 + 14;
    const int exponent = static_cast<int>(m.bits(largest) >> 23);
    const bool none = exponent <= 14;   // smaller than what a float's scale could tell
    const float inverse = none ? 0.0f : m.as_float(static_cast<uint32_t>(kExponent + 127 - exponent) << 23);
    if (m.thread() == 0)
      m.store(a.halves.scales + row, none ? 0.0f : m.as_float(exponent == 255 ? 0x7FC00000u : static_cast<uint32_t>(exponent - 14) << 23));
    uint32_t* const out = reinterpret_cast<uint32_t*>(a.halves.values + row * a.halves.stride);
    for (int i = m.thread(); i < a.halves.stride / 2; i += kThreads) {
      const float first = 2 * i < a.n ? m.load(x + 2 * i) * inverse : 0.0f, second = 2 * i + 1 < a.n ? m.load(x + 2 * i + 1) * inverse : 0.0f;
      m.store(out + i, m.pack(first, second));
    }
  }
};

namespace warpgroups {

using gguf::Type;

// Types that these kernels take; of F16, rows of a multiple of kTileDepth numbers.
WENQU_BOTH constexpr bool takes(Type type) { return is_quantized(type) || type == Type::f16; }

inline constexpr int kThreads = 2 * kWarpgroup, kMinBlocks = 2;
inline constexpr int kOutputs = 128, kRows = 128;   // of a block
static_assert(kOutputs == 2 * 64 && kThreads == 2 * kOutputs);

// Two stages, each a tile of weights for either warpgroup and two of input.
inline constexpr int kInputTile = 2 * kTileBytes, kStageBytes = 4 * kTileBytes;
inline constexpr int kExchangeRow = kRows + 1;
static_assert(2 * kStageBytes >= 64 * kExchangeRow * 4);

WENQU_BOTH constexpr int shared_bytes() { return 2 * kStageBytes + kRows * 3 * 4; }

template <typename Machine>
struct Memory {
  template <typename T>
  using Shared = typename Machine::template Shared<T>;
  Shared<Word4> tiles;        // [2] stages
  Shared<int> places, rows;   // [kRows] places of the rows, and where they lie in the input
  Shared<float> scales;       // [kRows]
};

template <typename Machine>
WENQU_DEVICE Memory<Machine> memory(Machine& m) {
  return {m.template shared<Word4>(2 * kStageBytes / 16), m.template shared<int>(kRows), m.template shared<int>(kRows), m.template shared<float>(kRows)};
}

// Puts down the block's rows; `count` of them, of `matrix`. A barrier must follow.
template <typename Machine>
WENQU_DEVICE void choose_rows(Machine& m, const RowTiles& rows, const Halves& x, const Memory<Machine>& s, int& count, int& matrix) {
  int first = m.block_y() * kRows;
  if (rows.tiles) {
    const Tile tile = m.load(rows.tiles + m.block_y());
    first = tile.first, count = tile.count, matrix = tile.expert;
  } else {
    count = rows.rows - first < kRows ? rows.rows - first : kRows;
    matrix = 0;
  }
  for (int i = m.thread(); i < count; i += kThreads) {
    const int place = rows.tiles ? m.load(rows.order + first + i) : first + i, row = place / rows.divide;
    s.places.set(i, place);
    s.rows.set(i, row);
    s.scales.set(i, m.load(x.scales + row));
  }
}

// Four signed bytes as halves of scale * q - minimum.
template <typename Machine>
WENQU_DEVICE Word2 as_halves(Machine& m, uint32_t bytes, float scale, float minimum) {
  float v[4];
  bytes ^= 0x80808080u;
  WENQU_UNROLL
  for (int i = 0; i < 4; ++i)   // a float whose last bits count whole numbers
    v[i] = m.fma(scale, m.as_float(m.permute(bytes, 0x4B000000u, 0x7440u + static_cast<uint32_t>(i))) - 8388736.0f, -minimum);
  return {m.pack(v[0], v[1]), m.pack(v[2], v[3])};
}

// Numbers 64 * step on of each row of weights, in the order in which `type` is unpacked (run_place): zeros behind the last.
template <Type type, typename Machine, typename Row>
WENQU_DEVICE void bring_weights(Machine& m, typename Machine::template Shared<Word4> tiles, const Row& row, int inputs, int step) {
  if constexpr (is_quantized(type)) {
    const int output = m.thread() / 2, side = m.thread() % 2, c = 2 * step + side;
    Word4 words[4] = {};
    if (c * kBlock < inputs) {
      const Chunk w = chunk<type>(m, row(output), inputs, c);
      WENQU_UNROLL
      for (int p = 0; p < 4; ++p) {
        const Word2 low = as_halves(m, w.q[p / 2][p % 2 * 2], w.scale[p / 2], w.minimum[p / 2]);
        const Word2 high = as_halves(m, w.q[p / 2][p % 2 * 2 + 1], w.scale[p / 2], w.minimum[p / 2]);
        words[p] = {low.x, low.y, high.x, high.y};
      }
    }
    WENQU_UNROLL
    for (int p = 0; p < 4; ++p) tiles.set(word_of_tile(output, side * 4 + p), words[p]);
  } else {
    for (int i = m.thread(); i < kOutputs * 8; i += kThreads)
      m.copy_async(tiles, word_of_tile(i / 8, i % 8), reinterpret_cast<const Word4*>(row(i / 8)) + step * 8 + i % 8);
  }
}

// The same numbers of the input's first `count` rows; those that fill up 64 or 128 are the last row again.
template <Type type, typename Machine>
WENQU_DEVICE void bring_input(Machine& m, const Memory<Machine>& s, typename Machine::template Shared<Word4> tile, const Halves& x, int count, int step) {
  for (int i = m.thread(); i < (count > 64 ? 128 : 64) * 8; i += kThreads) {
    const int r = i / 8, piece = i % 8;
    const int number = (is_quantized(type) ? run_place<type>(2 * step + piece / 4, piece / 2 % 2) : step * kTileDepth + piece / 2 * 16) + piece % 2 * 8;
    const Half* const from = x.values + static_cast<size_t>(s.rows.get(r < count ? r : count - 1)) * x.stride + number;
    m.copy_async(tile, word_of_tile(r, piece), reinterpret_cast<const Word4*>(from));
  }
}

// sums += the block's rows of weights times `count` rows of input, not scaled yet. Begins after a barrier and ends with one.
template <Type type, int kColumns, typename Machine, typename Row>
WENQU_DEVICE void add_tiles_of(Machine& m, const Memory<Machine>& s, const Row& row, int inputs, const Halves& x, int count, float (&sums)[64]) {
  const auto stage = [&](int step) { return s.tiles.at(step % 2 * (kStageBytes / 16), kStageBytes / 16); };
  const auto bring = [&](int step) {
    bring_weights<type>(m, stage(step), row, inputs, step);
    bring_input<type>(m, s, stage(step).at(kInputTile / 16, kInputTile / 16), x, count, step);
    m.wait_copies();
    m.fence_tiles();
  };
  const int steps = divide_up(inputs, kTileDepth), group = m.thread() / kWarpgroup;
  bring(0);
  m.barrier();
  WENQU_NO_UNROLL
  for (int step = 0; step < steps; ++step) {
    const auto weights = stage(step).at(group * (kTileBytes / 16), kTileBytes / 16), input = stage(step).at(kInputTile / 16, kInputTile / 16);
    m.template multiply_tiles<kColumns>(sums, weights, input);
    if (step + 1 < steps) bring(step + 1);
    m.wait_tiles(sums);
    m.barrier();
  }
}

template <Type type, typename Machine, typename Row>
WENQU_DEVICE void add_tiles(Machine& m, const Memory<Machine>& s, const Row& row, int inputs, const Halves& x, int count, float (&sums)[64]) {
  if (count > 64) add_tiles_of<type, 128>(m, s, row, inputs, x, count, sums);
  else add_tiles_of<type, 64>(m, s, row, inputs, x, count, sums);
}

// Which of a warpgroup's 64 rows of weights and of the block's rows of input sum i of a thread belongs to.
template <typename Machine>
WENQU_DEVICE int output_of(Machine& m, int i) { return m.warp() % 4 * 16 + m.lane() / 4 + i / 2 % 2 * 8; }
template <typename Machine>
WENQU_DEVICE int row_of(Machine& m, int i) { return i / 4 * 8 + m.lane() % 4 * 2 + i % 2; }

}  // namespace warpgroups

// MatMul (matmul.h) of one matrix, or of each place's expert. grid: x over outputs in kOutputs, y over tiles or over rows in kRows.
template <gguf::Type type>
struct WarpgroupMatMul {
  struct Arguments {
    Stack stack;
    Halves x;
    RowTiles rows;
    float* out;             // [places][out_stride]
    int out_stride;
    const float* bias;      // [outputs], or nullptr
    bool add;               // to what is there
  };
  static constexpr int kThreads = warpgroups::kThreads;
  static constexpr int kMinBlocks = warpgroups::kMinBlocks;
  static constexpr int shared_bytes() { return warpgroups::shared_bytes(); }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const auto s = warpgroups::memory(m);
    int count = 0, matrix = 0;
    warpgroups::choose_rows(m, a.rows, a.x, s, count, matrix);
    if (count <= 0) return;
    m.barrier();
    const int first = m.block_x() * warpgroups::kOutputs, last = a.stack.outputs - 1;
    float sums[64] = {};
    const auto row = [&](int i) { return weights_row(m, a.stack, matrix, first + i < last ? first + i : last); };
    warpgroups::add_tiles<type>(m, s, row, a.stack.inputs, a.x, count, sums);
    const int group = m.thread() / kWarpgroup;
    WENQU_UNROLL
    for (int i = 0; i < 64; ++i) {
      const int output = first + group * 64 + warpgroups::output_of(m, i), r = warpgroups::row_of(m, i);
      if (output > last || r >= count) continue;
      float* const out = a.out + static_cast<size_t>(s.places.get(r)) * a.out_stride + output;
      float sum = s.scales.get(r) * sums[i];
      if (a.bias) sum += m.load(a.bias + output);
      m.store(out, a.add ? m.load(out) + sum : sum);
    }
  }
};

// values[place] = silu(gate x) * up x: the first warpgroup has 64 rows of gate, the second those of up. grid: x over the width in
// 64s, y over tiles or over rows in kRows.
template <gguf::Type type>
struct WarpgroupGated {
  struct Arguments {
    Stack gate, up;
    Halves x;
    RowTiles rows;
    float* values;          // [places][value_stride]
    int value_stride;
  };
  static constexpr int kThreads = warpgroups::kThreads;
  static constexpr int kMinBlocks = warpgroups::kMinBlocks;
  static constexpr int shared_bytes() { return warpgroups::shared_bytes(); }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const auto s = warpgroups::memory(m);
    int count = 0, matrix = 0;
    warpgroups::choose_rows(m, a.rows, a.x, s, count, matrix);
    if (count <= 0) return;
    m.barrier();
    const int first = m.block_x() * 64, last = a.gate.outputs - 1;
    float sums[64] = {};
    const auto row = [&](int i) {
      const int output = first + i % 64 < last ? first + i % 64 : last;
      return weights_row(m, i < 64 ? a.gate : a.up, matrix, output);
    };
    warpgroups::add_tiles<type>(m, s, row, a.gate.inputs, a.x, count, sums);
    const auto exchange = s.tiles.template as<float>();   // of up: [64][kExchangeRow]
    const bool is_gate = m.thread() < kWarpgroup;
    WENQU_UNROLL
    for (int i = 0; i < 64; ++i) {
      const int r = warpgroups::row_of(m, i);
      if (!is_gate && r < count) exchange.set(warpgroups::output_of(m, i) * warpgroups::kExchangeRow + r, sums[i]);
    }
    m.barrier();
    if (!is_gate) return;
    WENQU_UNROLL
    for (int i = 0; i < 64; ++i) {
      const int output = first + warpgroups::output_of(m, i), r = warpgroups::row_of(m, i);
      if (output > last || r >= count) continue;
      const float scale = s.scales.get(r), g = scale * sums[i];
      const float u = scale * exchange.get(warpgroups::output_of(m, i) * warpgroups::kExchangeRow + r);
      m.store(a.values + static_cast<size_t>(s.places.get(r)) * a.value_stride + output, g / (1.0f + m.exp(-g)) * u);
    }
  }
};

}  // namespace wenqu::engine::cuda
