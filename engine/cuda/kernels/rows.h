// What is done to rows of the residual stream and of activations between the matrix products.
#pragma once

#include "engine/cuda/kernels/input.h"
#include "engine/cuda/kernels/unpack.h"

namespace wenqu::engine::cuda {

// The sum over a block of one value of each thread; every thread gets it. Two barriers.
template <typename Machine>
WENQU_DEVICE float block_sum(Machine& m, typename Machine::template Shared<float> scratch, float value) {
  value = warp_sum(m, value);
  if (m.lane() == 0) scratch.set(m.warp(), value);
  m.barrier();
  float sum = 0;
  for (int i = 0; i < m.warps(); ++i) sum += scratch.get(i);
  m.barrier();
  return sum;
}

// Adds what the last part of a layer gave, and norms: out = x / rms(x) * weight (arXiv 1910.07467).
struct NormRows {
  float* hidden = nullptr;          // [rows][n], with `delta` added afterwards
  const float* delta = nullptr;     // [rows][n]; nullptr: nothing to add
  const float* weight = nullptr;    // [n]
  float* values = nullptr;          // [rows][n] normed; nullptr: not wanted
  Rounded rounded = {};             // the same rounded; q nullptr: not wanted
  int n = 0;
  float epsilon = 0;

  // By a block. scratch: a number for each of its warps.
  template <typename Machine>
  WENQU_DEVICE void norm(Machine& m, typename Machine::template Shared<float> scratch, int row) const {
    float* const x = hidden + static_cast<size_t>(row) * n;
    float squares = 0;
    for (int i = m.thread(); i < n; i += m.threads()) {
      float v = m.load(x + i);
      if (delta) m.store(x + i, v += m.load(delta + static_cast<size_t>(row) * n + i));
      squares += v * v;
    }
    const float factor = m.rsqrt(block_sum(m, scratch, squares) / static_cast<float>(n) + epsilon);
    for (int i = m.thread(); i < round_up(n, kBlock); i += m.threads()) {   // whole warps: round_up of a warp
      const float v = i < n ? m.load(x + i) * factor * m.load(weight + i) : 0;
      if (values && i < n) m.store(values + static_cast<size_t>(row) * n + i, v);
      if (rounded.q) store_rounded(m, rounded, row, i / kBlock, v);
    }
  }
};

// grid: x over rows.
struct RmsNorm {
  using Arguments = NormRows;
  static constexpr int kThreads = 256;
  static constexpr int shared_bytes() { return kThreads / kWarp * static_cast<int>(sizeof(float)); }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    a.norm(m, m.template shared<float>(kThreads / kWarp), m.block_x());
  }
};

// A norm of the rows that a kernel's blocks give together: by the block that is done last, which is one launch less.
struct NormAfter {
  NormRows rows = {};              // weight nullptr: no norm
  uint32_t* arrived = nullptr;     // [rows] zeros, and zeros again afterwards

  // By all threads of a block that has given its part of `count` rows from `first` on, as `blocks` blocks do.
  template <typename Machine>
  WENQU_DEVICE void by_last(Machine& m, typename Machine::template Shared<float> scratch, int first, int count, int blocks) const {
    if (!rows.weight || !m.last_block(arrived + first, blocks)) return;
    for (int i = 0; i < count; ++i) rows.norm(m, scratch, first + i);
  }
};

// Rounds rows. A warp takes a block of 32 numbers; grid: x over rows, y over a row's blocks in fours.
struct RoundRows {
  struct Arguments {
    const float* values;    // [rows][value_stride], the first n count
    int value_stride, n;
    Rounded rounded;
  };
  static constexpr int kThreads = 128;
  static constexpr int kBlocks = kThreads / kWarp;
  static constexpr int shared_bytes() { return 0; }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const int row = m.block_x(), block = m.block_y() * kBlocks + m.warp();
    if (block >= divide_up(a.n, kBlock)) return;
    const int i = block * kBlock + m.lane();
    const float v = i < a.n ? m.load(a.values + static_cast<size_t>(row) * a.value_stride + i) : 0;
    store_rounded(m, a.rounded, row, block, v);
  }
};

// SwiGLU's middle (arXiv 2002.05202): silu(gate) * up, rounded. A warp takes a block of 32 numbers; grid: x over rows, y over
// a row's blocks in fours.
struct SiluMultiply {
  struct Arguments {
    const float* gate;      // [rows][n]
    const float* up;        // [rows][n]
    int n;
    float* values;          // [rows][n]; may be `gate`
    Rounded rounded;        // the same
  };
  static constexpr int kThreads = 128;
  static constexpr int kBlocks = kThreads / kWarp;
  static constexpr int shared_bytes() { return 0; }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const int row = m.block_x(), block = m.block_y() * kBlocks + m.warp();
    if (block >= divide_up(a.n, kBlock)) return;
    const int i = block * kBlock + m.lane();
    const size_t at = static_cast<size_t>(row) * a.n + i;
    float v = 0;
    if (i < a.n) {
      const float g = m.load(a.gate + at);
      v = g / (1.0f + m.exp(-g)) * m.load(a.up + at);
      m.store(a.values + at, v);
    }
    store_rounded(m, a.rounded, row, block, v);
  }
};

// to[i] += from[i]. grid: x over the numbers in kNumbers.
struct AddRows {
  struct Arguments {
    const float* from;
    float* to;
    size_t n;
  };
  static constexpr int kThreads = 256, kNumbers = kThreads * 4;
  static constexpr int shared_bytes() { return 0; }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const size_t first = static_cast<size_t>(m.block_x()) * kNumbers;
    for (size_t i = first + m.thread(); i < first + kNumbers && i < a.n; i += kThreads) m.store(a.to + i, m.load(a.to + i) + m.load(a.from + i));
  }
};

// hidden[t] = embedding[token[t]]. grid: x over the row in pieces of 32 * kThreads numbers, y over tokens.
template <gguf::Type type>
struct Embed {
  struct Arguments {
    const std::byte* embedding;   // rows as layout.h lays them
    size_t row_bytes;
    const int32_t* tokens;
    float* hidden;                // [tokens][n]
    int n;
  };
  static constexpr int kThreads = 128;
  static constexpr int shared_bytes() { return 0; }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const int t = m.block_y(), c = m.block_x() * m.threads() + m.thread();
    const std::byte* const row = a.embedding + static_cast<size_t>(m.load(a.tokens + t)) * a.row_bytes;
    float* const out = a.hidden + static_cast<size_t>(t) * a.n;
    if constexpr (is_quantized(type)) {
      if (c >= a.n / kBlock) return;
      const Chunk w = chunk<type>(m, row, a.n, c);
      for (int r = 0; r < 2; ++r)
        for (int i = 0; i < 16; ++i) {
          const int q = static_cast<int8_t>(w.q[r][i / 4] >> (i % 4 * 8));
          m.store(out + w.at[r] + i, w.scale[r] * static_cast<float>(q) - w.minimum[r]);
        }
    } else {
      for (int i = c * kBlock; i < a.n && i < (c + 1) * kBlock; ++i) {
        if constexpr (type == gguf::Type::f32) m.store(out + i, m.load(reinterpret_cast<const float*>(row) + i));
        if constexpr (type == gguf::Type::f16) m.store(out + i, m.to_float(m.load(reinterpret_cast<const Half*>(row) + i)));
        if constexpr (type == gguf::Type::bf16) m.store(out + i, m.to_float(m.load(reinterpret_cast<const Bfloat*>(row) + i)));
      }
    }
  }
};

}  // namespace wenqu::engine::cuda
