// Products of weights with many rows of input, where arithmetic is the cost: a block takes kTileOutputs rows of
// weights and up to kTileRows rows of input, brings 128 numbers of each into shared memory at a time, the weights
// unpacked, and multiplies them on the tensor cores. Whole numbers are multiplied exactly, 32 (or 16) at a time as
// the scales of a type go. Floats are taken 32 at a time as the sum of two half floats with a common scale, which
// loses no more than adding them in another order would. Both are summed as floats in the order of the input, so that
// a row's result is the same in any batch.
#pragma once

#include "engine/cuda/kernels/experts.h"
#include "engine/cuda/kernels/input.h"
#include "engine/cuda/kernels/matvec.h"
#include "engine/cuda/kernels/unpack.h"

namespace wenqu::engine::cuda {

inline constexpr int kTileOutputs = 64;

// Which rows of input a block takes, and which matrix they meet.
struct RowTiles {
  const Tile* tiles = nullptr;      // block y's, of sorted places; nullptr: neighbours
  const int32_t* order = nullptr;   // the sorted places
  int divide = 1;                   // place p meets input row p / divide
  int rows = 0, matrices = 1;       // without tiles: how many rows; row t of matrix z (grid z) is place t * matrices + z
};

namespace tiling {

using gguf::Type;

inline constexpr int kThreads = 128;
inline constexpr int kMinBlocks = 5;   // of a multiprocessor, which leaves 102 registers
inline constexpr int kGroups = kTileRows / 8;   // of eight rows of input, as the tensor cores take them

// Sums of a thread, laid out as a fragment of machine.h for each group of input rows.
using Sums = float[kGroups][4];
template <typename Machine>
WENQU_DEVICE int output_of(Machine& m, int i) { return m.warp() * 16 + m.lane() / 4 + i / 2 * 8; }
template <typename Machine>
WENQU_DEVICE int row_of(Machine& m, int group, int i) { return group * 8 + m.lane() % 4 * 2 + i % 2; }

// Whether a scale is for 16 numbers.
WENQU_BOTH constexpr bool has_halves(Type type) { return type == Type::q2_k || type == Type::q3_k || type == Type::q6_k; }

// Whether a weight is one half float as it is, rather than the sum of two.
WENQU_BOTH constexpr bool is_half(Type type) { return type == Type::f16; }

// Numbers in shared memory: 128 bytes of a row, which are 128 whole numbers, or the upper and then the lower halves of
// 32 floats. The padding keeps what a warp reads at once in different banks.
inline constexpr int kDepth = 128, kRowBytes = kDepth + 32;
inline constexpr int kLowerHalves = kDepth / 2;
static_assert(kTileOutputs == kTileRows && kTileOutputs == kThreads / kWarp * 16);

// The exchange of results (GatedTiles) takes the numbers' place.
inline constexpr int kExchangeRow = kTileRows + 1;
inline constexpr int kNumberBytes = 2 * kTileRows * kRowBytes;
static_assert(kNumberBytes >= kTileOutputs * kExchangeRow * 4);

// Runs of numbers that share a scale, of a row in shared memory, and blocks of them.
template <Type type>
WENQU_BOTH constexpr int runs() { return !is_quantized(type) ? 1 : has_halves(type) ? kDepth / 16 : kDepth / kBlock; }
template <Type type>
WENQU_BOTH constexpr int blocks_at_once() { return is_quantized(type) ? kDepth / kBlock : 1; }

template <Type type>
WENQU_BOTH constexpr int shared_bytes() {
  return kTileRows * 4 + kNumberBytes + (runs<type>() * kTileOutputs + blocks_at_once<type>() * kTileRows) * 4 +
         (has_minimum<type>() ? runs<type>() * (kTileOutputs + kTileRows) * 4 : 0);
}

template <typename Machine>
struct Memory {
  template <typename T>
  using Shared = typename Machine::template Shared<T>;
  Shared<int> places;                         // [kTileRows]
  Shared<std::byte> numbers;                  // weights [kTileOutputs][kRowBytes], input [kTileRows][kRowBytes]
  Shared<float> scales, minima;               // of weights: [runs][kTileOutputs]
  Shared<float> input_scales;                 // [blocks_at_once][kTileRows]
  Shared<float> input_sums;                   // scale * the sum of a run: [runs][kTileRows]
};

template <Type type, typename Machine>
WENQU_DEVICE Memory<Machine> memory(Machine& m) {
  const int scales = runs<type>() * kTileOutputs, minima = has_minimum<type>() ? scales : 0;
  return {m.template shared<int>(kTileRows), m.template shared<std::byte>(kNumberBytes), m.template shared<float>(scales),
          m.template shared<float>(minima), m.template shared<float>(blocks_at_once<type>() * kTileRows), m.template shared<float>(minima)};
}

// Puts down the places of the block's rows; `count` of them, of `matrix`. A barrier must follow.
template <typename Machine>
WENQU_DEVICE void choose_rows(Machine& m, const RowTiles& rows, const Memory<Machine>& s, int& count, int& matrix) {
  int first = m.block_y() * kTileRows;
  if (rows.tiles) {
    const Tile tile = m.load(rows.tiles + m.block_y());
    first = tile.first, count = tile.count, matrix = tile.expert;
  } else {
    count = rows.rows - first < kTileRows ? rows.rows - first : kTileRows;
    matrix = m.block_z();
  }
  for (int i = m.thread(); i < count; i += kThreads)
    s.places.set(i, rows.tiles ? m.load(rows.order + first + i) : (first + i) * rows.matrices + matrix);
}

// Brings `blocks` blocks of the weights' rows, from block `first` on. row(i): where row i of the tile lies.
template <Type type, typename Machine, typename Row>
WENQU_DEVICE void bring_weights(Machine& m, const Memory<Machine>& s, const Row& row, int inputs, int first, int blocks) {
  const auto words = s.numbers.template as<Word4>();
  for (int i = m.thread(); i < kTileOutputs * (kDepth / kBlock); i += kThreads) {
    const int output = i / (kDepth / kBlock), c = i % (kDepth / kBlock);
    if (c >= blocks) continue;
    const Chunk w = chunk<type>(m, row(output), inputs, first + c);
    for (int r = 0; r < 2; ++r) {
      const int at = w.at[r] - first * kBlock;
      words.set((output * kRowBytes + at) / 16, Word4{w.q[r][0], w.q[r][1], w.q[r][2], w.q[r][3]});
      constexpr int kRun = kDepth / runs<type>();
      if (at % kRun != 0) continue;   // the second half of numbers that share a scale
      s.scales.set(at / kRun * kTileOutputs + output, w.scale[r]);
      if constexpr (has_minimum<type>()) s.minima.set(at / kRun * kTileOutputs + output, w.minimum[r]);
    }
  }
}

// The same blocks of the input's rows. Those that fill up a group of eight are the last row again.
template <bool kHalves, bool kMinimum, typename Machine>
WENQU_DEVICE void bring_input(Machine& m, const Memory<Machine>& s, const Input& x, int divide, int count, int first, int blocks) {
  const auto words = s.numbers.at(kTileOutputs * kRowBytes, kTileRows * kRowBytes).template as<Word4>();
  constexpr uint32_t kOnes = 0x01010101;
  for (int i = m.thread(); i < round_up(count, 8) * (kDepth / kBlock); i += kThreads) {
    const int place = i / (kDepth / kBlock), c = i % (kDepth / kBlock);
    if (c >= blocks) continue;
    const size_t row = static_cast<size_t>(s.places.get(place < count ? place : count - 1) / divide);
    const float scale = m.load(x.scales + row * (x.q_stride / kBlock) + first + c);
    int sum[2];
    for (int r = 0; r < 2; ++r) {
      const Word4 q = m.load(reinterpret_cast<const Word4*>(x.q + row * x.q_stride + (first + c) * kBlock + r * 16));
      words.set((place * kRowBytes + c * kBlock + r * 16) / 16, q);
      if constexpr (kMinimum) sum[r] = m.dot4(kOnes, q.w, m.dot4(kOnes, q.z, m.dot4(kOnes, q.y, m.dot4(kOnes, q.x, 0))));
    }
    s.input_scales.set(c * kTileRows + place, scale);
    if constexpr (kMinimum && kHalves)
      for (int r = 0; r < 2; ++r) s.input_sums.set((2 * c + r) * kTileRows + place, scale * static_cast<float>(sum[r]));
    if constexpr (kMinimum && !kHalves) s.input_sums.set(c * kTileRows + place, scale * static_cast<float>(sum[0] + sum[1]));
  }
}

// sums += what was brought, multiplied. Which of a block's numbers a lane holds does not matter as long as both sides
// agree: lane t of four takes bytes 8t to 8t + 7, which is one read where the fragments' own order would need two.
template <bool kHalves, bool kMinimum, typename Machine>
WENQU_DEVICE void multiply_brought(Machine& m, const Memory<Machine>& s, int count, int blocks, Sums& sums) {
  const auto weights = s.numbers.template as<Word2>();
  const auto input = s.numbers.at(kTileOutputs * kRowBytes, kTileRows * kRowBytes).template as<Word2>();
  const auto scales = s.input_scales.template as<Float2>(), input_sums = s.input_sums.template as<Float2>();
  const int t = m.lane() % 4, output = output_of(m, 0);
  for (int b = 0; b < blocks; ++b) {
    const Word2 upper = weights.get((output * kRowBytes + b * kBlock) / 8 + t);
    const Word2 lower = weights.get(((output + 8) * kRowBytes + b * kBlock) / 8 + t);
    constexpr int kParts = kHalves ? 2 : 1;
    float scale[kParts][2], minimum[kParts][2];
    for (int h = 0; h < kParts; ++h)
      for (int i = 0; i < 2; ++i) {
        scale[h][i] = s.scales.get((b * kParts + h) * kTileOutputs + output + 8 * i);
        minimum[h][i] = 0;
        if constexpr (kMinimum) minimum[h][i] = s.minima.get((b * kParts + h) * kTileOutputs + output + 8 * i);
      }
    WENQU_UNROLL
    for (int n = 0; n < kGroups; ++n) {
      if (n * 8 >= count) break;
      const Word2 q = input.get(((n * 8 + m.lane() / 4) * kRowBytes + b * kBlock) / 8 + t);
      const Float2 x = scales.get((b * kTileRows + n * 8) / 2 + t);
      for (int h = 0; h < kParts; ++h) {
        // The first 16 numbers are in lanes 0 and 1 of four: the others' weights are 0 for them.
        const uint32_t mask = !kHalves || t / 2 == h ? 0xFFFFFFFF : 0;
        const uint32_t a[4] = {upper.x & mask, lower.x & mask, upper.y & mask, lower.y & mask}, right[2] = {q.x, q.y};
        // A float whose last bits count whole numbers: added to as one, it is the sum as a float, but for the offset.
        constexpr int kOffset = 0x4B400000;
        int d[4] = {kOffset, kOffset, kOffset, kOffset};
        m.mma_s8(d, a, right);
        for (int i = 0; i < 4; ++i) {
          const float product = m.as_float(static_cast<uint32_t>(d[i])) - 12582912.0f;
          sums[n][i] = m.fma(scale[h][i / 2] * (i % 2 ? x.y : x.x), product, sums[n][i]);
        }
        if constexpr (kMinimum) {
          const Float2 sum = input_sums.get(((b * kParts + h) * kTileRows + n * 8) / 2 + t);
          for (int i = 0; i < 4; ++i) sums[n][i] = m.fma(-minimum[h][i / 2], i % 2 ? sum.y : sum.x, sums[n][i]);
        }
      }
    }
  }
}

template <Type type, typename Machine>
WENQU_DEVICE float number(Machine& m, const std::byte* row, int i) {
  if constexpr (type == Type::f16) return m.to_float(m.load(reinterpret_cast<const Half*>(row) + i));
  if constexpr (type == Type::bf16) return m.to_float(m.load(reinterpret_cast<const Bfloat*>(row) + i));
  return m.load(reinterpret_cast<const float*>(row) + i);
}

// A warp puts down 32 numbers of a row in halves, each lane one. Returns their scale.
template <typename Machine>
WENQU_DEVICE float put_halves(Machine& m, typename Machine::template Shared<Half> row, float value) {
  const float largest = warp_max(m, value < 0 ? -value : value);
  const float inverse = largest > 1e-30f ? 1.0f / largest : 0.0f, part = value * inverse;
  const Half upper = m.to_half(part);
  row.set(m.lane(), upper);
  row.set(kLowerHalves / 2 + m.lane(), m.to_half(part - m.to_float(upper)));
  return largest;
}

// Brings the 32 numbers from `first` on, of weights and input.
template <Type type, typename Machine, typename Row>
WENQU_DEVICE void bring_floats(Machine& m, const Memory<Machine>& s, const Row& row, int inputs, const Input& x, int divide, int count, int first) {
  const auto halves = s.numbers.template as<Half>();
  constexpr int kRow = kRowBytes / 2;
  const int at = first + m.lane();
  for (int i = m.warp(); i < kTileOutputs; i += m.warps()) {
    if constexpr (is_half(type)) {
      halves.set(i * kRow + m.lane(), at < inputs ? m.load(reinterpret_cast<const Half*>(row(i)) + at) : Half{0});
    } else {
      const float scale = put_halves(m, halves.at(i * kRow, kRow), at < inputs ? number<type>(m, row(i), at) : 0.0f);
      if (m.lane() == 0) s.scales.set(i, scale);
    }
  }
  for (int i = m.warp(); i < round_up(count, 8); i += m.warps()) {
    const size_t place = static_cast<size_t>(s.places.get(i < count ? i : count - 1) / divide);
    const float value = at < inputs ? m.load(x.values + place * x.value_stride + at) : 0.0f;
    const float scale = put_halves(m, halves.at((kTileOutputs + i) * kRow, kRow), value);
    if (m.lane() == 0) s.input_scales.set(i, scale);
  }
}

// sums += the floats that were brought, multiplied: upper halves with upper ones and with lower ones. What lower halves
// give with each other is less than what adding the rest as floats loses.
template <bool kHalf, typename Machine>
WENQU_DEVICE void multiply_floats(Machine& m, const Memory<Machine>& s, int count, Sums& sums) {
  const auto weights = s.numbers.template as<Word2>();
  const auto input = s.numbers.at(kTileOutputs * kRowBytes, kTileRows * kRowBytes).template as<Word2>();
  const auto scales = s.input_scales.template as<Float2>();
  const int t = m.lane() % 4, output = output_of(m, 0);
  constexpr int kSteps = kBlock / 16, kParts = kHalf ? 1 : 2;
  uint32_t a[kParts][kSteps][4];
  WENQU_UNROLL
  for (int part = 0; part < kParts; ++part)
    for (int k = 0; k < kSteps; ++k) {
      const Word2 upper = weights.get((output * kRowBytes + part * kLowerHalves + k * 32) / 8 + t);
      const Word2 lower = weights.get(((output + 8) * kRowBytes + part * kLowerHalves + k * 32) / 8 + t);
      a[part][k][0] = upper.x, a[part][k][1] = lower.x, a[part][k][2] = upper.y, a[part][k][3] = lower.y;
    }
  const float scale[2] = {kHalf ? 1.0f : s.scales.get(output), kHalf ? 1.0f : s.scales.get(output + 8)};
  WENQU_UNROLL
  for (int n = 0; n < kGroups; ++n) {
    if (n * 8 >= count) break;
    float d[4] = {};
    for (int k = 0; k < kSteps; ++k) {
      const int at = ((n * 8 + m.lane() / 4) * kRowBytes + k * 32) / 8 + t;
      const Word2 upper = input.get(at), lower = input.get(at + kLowerHalves / 8);
      const uint32_t uppers[2] = {upper.x, upper.y}, lowers[2] = {lower.x, lower.y};
      m.mma_f16(d, a[0][k], uppers);
      m.mma_f16(d, a[0][k], lowers);
      if constexpr (!kHalf) m.mma_f16(d, a[kParts - 1][k], uppers);
    }
    const Float2 x = scales.get(n * 4 + t);
    for (int i = 0; i < 4; ++i) sums[n][i] = m.fma(scale[i / 2] * (i % 2 ? x.y : x.x), d[i], sums[n][i]);
  }
}

// sums += the tile's rows of weights times `count` rows of input. Begins after a barrier and ends with one.
template <Type type, typename Machine, typename Row>
WENQU_DEVICE void add_tile(Machine& m, const Memory<Machine>& s, const Row& row, int inputs, const Input& x, int divide, int count, Sums& sums) {
  if constexpr (is_quantized(type)) {
    constexpr bool kHalves = has_halves(type), kMinimum = has_minimum<type>();
    const int all = inputs / kBlock;
    for (int first = 0; first < all; first += kDepth / kBlock) {
      const int blocks = all - first < kDepth / kBlock ? all - first : kDepth / kBlock;
      bring_weights<type>(m, s, row, inputs, first, blocks);
      bring_input<kHalves, kMinimum>(m, s, x, divide, count, first, blocks);
      m.barrier();
      multiply_brought<kHalves, kMinimum>(m, s, count, blocks, sums);
      m.barrier();
    }
  } else {
    for (int first = 0; first < inputs; first += kBlock) {
      bring_floats<type>(m, s, row, inputs, x, divide, count, first);
      m.barrier();
      multiply_floats<is_half(type)>(m, s, count, sums);
      m.barrier();
    }
  }
}

}  // namespace tiling

// out[place] = the place's matrix times its row of input. grid: x over outputs in kTileOutputs, y over tiles or over
// rows in kTileRows, z over the matrices.
template <gguf::Type type>
struct MatMul {
  struct Arguments {
    Stack stack;
    Input x;
    RowTiles rows;
    float* out;             // [places][out_stride]
    int out_stride;
    const float* bias;      // [outputs], or nullptr
    bool add;               // to what is there
  };
  static constexpr int kThreads = tiling::kThreads;
  static constexpr int kMinBlocks = tiling::kMinBlocks;
  static constexpr int shared_bytes() { return tiling::shared_bytes<type>(); }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const auto s = tiling::memory<type>(m);
    int count = 0, matrix = 0;
    tiling::choose_rows(m, a.rows, s, count, matrix);
    if (count <= 0) return;
    m.barrier();
    const int first = m.block_x() * kTileOutputs, last = a.stack.outputs - 1;
    tiling::Sums sums = {};
    const auto row = [&](int i) { return weights_row(m, a.stack, matrix, first + i < last ? first + i : last); };
    tiling::add_tile<type>(m, s, row, a.stack.inputs, a.x, a.rows.divide, count, sums);
    WENQU_UNROLL
    for (int n = 0; n < tiling::kGroups; ++n)
      for (int i = 0; i < 4; ++i) {
        const int output = first + tiling::output_of(m, i), place = tiling::row_of(m, n, i);
        if (output > last || place >= count) continue;
        float* const out = a.out + static_cast<size_t>(s.places.get(place)) * a.out_stride + output;
        float sum = sums[n][i];
        if (a.bias) sum += m.load(a.bias + output);
        m.store(out, a.add ? m.load(out) + sum : sum);
      }
  }
};

// Gated (matvec.h) for many rows: half of a tile are rows of gate, half those of up, so that the 32 outputs that share
// a scale when they are rounded are of one block. grid: x over the width in 32s, y over tiles or over rows.
template <gguf::Type type>
struct GatedTiles {
  struct Arguments {
    Stack gate, up;
    Input x;
    RowTiles rows;
    float* values;          // [places][value_stride]; nullptr: not wanted
    int value_stride;
    Rounded rounded;        // the same; q nullptr: not wanted
  };
  static constexpr int kThreads = tiling::kThreads;
  static constexpr int kMinBlocks = tiling::kMinBlocks;
  static constexpr int shared_bytes() { return tiling::shared_bytes<type>(); }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const auto s = tiling::memory<type>(m);
    int count = 0, matrix = 0;
    tiling::choose_rows(m, a.rows, s, count, matrix);
    if (count <= 0) return;
    m.barrier();
    const int first = m.block_x() * kBlock, last = a.gate.outputs - 1;
    tiling::Sums sums = {};
    const auto row = [&](int i) {
      const int output = first + i % kBlock < last ? first + i % kBlock : last;
      return i < kBlock ? weights_row(m, a.gate, matrix, output) : weights_row(m, a.up, matrix, output);
    };
    tiling::add_tile<type>(m, s, row, a.gate.inputs, a.x, a.rows.divide, count, sums);
    const auto exchange = s.numbers.template as<float>();
    WENQU_UNROLL
    for (int n = 0; n < tiling::kGroups; ++n) {
      if (n * 8 >= count) break;
      for (int i = 0; i < 4; ++i) exchange.set(tiling::output_of(m, i) * tiling::kExchangeRow + tiling::row_of(m, n, i), sums[n][i]);
    }
    m.barrier();
    const int output = first + m.lane();
    for (int i = m.warp(); i < count; i += m.warps()) {
      const int place = s.places.get(i);
      const float g = exchange.get(m.lane() * tiling::kExchangeRow + i), u = exchange.get((m.lane() + kBlock) * tiling::kExchangeRow + i);
      const float value = output <= last ? g / (1.0f + m.exp(-g)) * u : 0.0f;
      if (a.values && output <= last) m.store(a.values + static_cast<size_t>(place) * a.value_stride + output, value);
      if (a.rounded.q) store_rounded(m, a.rounded, place, m.block_x(), value);
    }
  }
};

}  // namespace wenqu::engine::cuda
