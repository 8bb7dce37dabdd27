// Products of weights with few rows of input, where reading the weights is all the cost: a warp takes a row of
// weights, its lanes take turns along it, and each chunk that was read meets all the inputs.
#pragma once

#include "engine/cuda/kernels/input.h"
#include "engine/cuda/kernels/unpack.h"

namespace wenqu::engine::cuda {

template <gguf::Type type>
WENQU_BOTH constexpr bool has_minimum() {
  using gguf::Type;
  return type == Type::q4_1 || type == Type::q5_1 || type == Type::q2_k || type == Type::q4_k || type == Type::q5_k;
}

// sums[i] += the lane's part of weights * input row first + i * step, for i < count <= N.
template <gguf::Type type, int N, typename Machine>
WENQU_DEVICE void add_products(Machine& m, const std::byte* weights, int inputs, const Input& x, int first, int step, int count,
                               float (&sums)[N]) {
  using gguf::Type;
  if constexpr (is_quantized(type)) {
    for (int c = m.lane(); c < inputs / kBlock; c += kWarp) {
      const Chunk w = chunk<type>(m, weights, inputs, c);
      for (int r = 0; r < 2; ++r)
        for (int i = 0; i < N; ++i) {
          if (i >= count) break;
          const size_t row = static_cast<size_t>(first + i * step);
          const Word4 q = m.load(reinterpret_cast<const Word4*>(x.q + row * x.q_stride + w.at[r]));
          const float scale = m.load(x.scales + row * (x.q_stride / kBlock) + w.at[r] / kBlock);
          const int product = m.dot4(w.q[r][3], q.w, m.dot4(w.q[r][2], q.z, m.dot4(w.q[r][1], q.y, m.dot4(w.q[r][0], q.x, 0))));
          float value = w.scale[r] * static_cast<float>(product);
          if constexpr (has_minimum<type>()) {
            constexpr uint32_t kOnes = 0x01010101;
            const int sum = m.dot4(kOnes, q.w, m.dot4(kOnes, q.z, m.dot4(kOnes, q.y, m.dot4(kOnes, q.x, 0))));
            value -= w.minimum[r] * static_cast<float>(sum);
          }
          sums[i] += scale * value;
        }
    }
  } else {
    // Eight halves or four floats at a time; what is left over, one by one.
    constexpr int kTogether = type == Type::f32 ? 4 : 8;
    const auto add = [&](int at, float w) {
      for (int i = 0; i < N; ++i) {
        if (i >= count) break;
        sums[i] += w * m.load(x.values + static_cast<size_t>(first + i * step) * x.value_stride + at);
      }
    };
    const int whole = inputs / kTogether;
    for (int c = m.lane(); c < whole; c += kWarp) {
      const Word4 v = m.load_once(reinterpret_cast<const Word4*>(weights) + c);
      const uint32_t words[4] = {v.x, v.y, v.z, v.w};
      for (int i = 0; i < kTogether; ++i) {
        if constexpr (type == Type::f32) add(c * 4 + i, m.as_float(words[i]));
        if constexpr (type == Type::f16) add(c * 8 + i, m.to_float(Half{static_cast<uint16_t>(words[i / 2] >> (i % 2 * 16))}));
        if constexpr (type == Type::bf16) add(c * 8 + i, m.to_float(Bfloat{static_cast<uint16_t>(words[i / 2] >> (i % 2 * 16))}));
      }
    }
    for (int i = whole * kTogether + m.lane(); i < inputs; i += kWarp) {
      if constexpr (type == Type::f32) add(i, m.load(reinterpret_cast<const float*>(weights) + i));
      if constexpr (type == Type::f16) add(i, m.to_float(m.load(reinterpret_cast<const Half*>(weights) + i)));
      if constexpr (type == Type::bf16) add(i, m.to_float(m.load(reinterpret_cast<const Bfloat*>(weights) + i)));
    }
  }
}

// A stack of matrices of one shape, rows laid out as layout.h says.
struct Stack {
  const std::byte* data = nullptr;
  size_t row_bytes = 0, matrix_bytes = 0;
  int inputs = 0, outputs = 0;
};

template <typename Machine>
WENQU_DEVICE const std::byte* weights_row(Machine&, const Stack& stack, int matrix, int row) {
  return stack.data + static_cast<size_t>(matrix) * stack.matrix_bytes + static_cast<size_t>(row) * stack.row_bytes;
}

// out[t * matrices + z] = matrix z of the stack times input row t * matrices + z, for up to N of `tokens` tokens at
// a time. grid: x over outputs in fours, y over tokens in Ns, z over the matrices.
template <gguf::Type type, int N>
struct MatVec {
  struct Arguments {
    Stack stack;
    Input x;
    int tokens, matrices;
    float* out;             // [tokens][matrices][out_stride]
    int out_stride;
    const float* bias;      // [outputs], or nullptr
  };
  static constexpr int kThreads = 128;
  static constexpr int kRows = kThreads / kWarp;
  static constexpr int shared_bytes() { return 0; }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const int row = m.block_x() * kRows + m.warp(), t = m.block_y() * N, z = m.block_z();
    if (row >= a.stack.outputs) return;
    const int count = a.tokens - t < N ? a.tokens - t : N;
    float sums[N] = {};
    add_products<type, N>(m, weights_row(m, a.stack, z, row), a.stack.inputs, a.x, t * a.matrices + z, a.matrices, count, sums);
    for (int i = 0; i < N; ++i) {
      if (i >= count) break;
      const float sum = warp_sum(m, sums[i]);
      if (m.lane() == 0)
        m.store(a.out + static_cast<size_t>((t + i) * a.matrices + z) * a.out_stride + row, a.bias ? sum + m.load(a.bias + row) : sum);
    }
  }
};

// The expert that a token chose, and its weight.
struct alignas(8) Choice {
  int32_t expert = 0;
  float weight = 0;
};

// SwiGLU's first half (arXiv 2002.05202) for every token and each of its experts: silu(gate x) * (up x), rounded.
// Place p stands for choice p % used of token p / used. Without choices it is a dense feed-forward: expert 0.
// grid: x over the width in 32s, y over places.
template <gguf::Type type>
struct Gated {
  struct Arguments {
    Stack gate, up;
    Input x;                // [tokens]
    const Choice* choices;  // [tokens][used], or nullptr
    int used;
    float* values;          // [places][value_stride]
    int value_stride;
    Rounded rounded;        // the same
  };
  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int shared_bytes() { return kBlock * static_cast<int>(sizeof(float)); }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const auto block = m.template shared<float>(kBlock);
    const int place = m.block_y(), first = m.block_x() * kBlock;
    const int expert = a.choices ? m.load(a.choices + place).expert : 0;
    for (int i = m.warp(); i < kBlock; i += kWarps) {
      float value = 0;
      if (first + i < a.gate.outputs) {
        float gate[1] = {}, up[1] = {};
        add_products<type, 1>(m, weights_row(m, a.gate, expert, first + i), a.gate.inputs, a.x, place / a.used, 1, 1, gate);
        add_products<type, 1>(m, weights_row(m, a.up, expert, first + i), a.up.inputs, a.x, place / a.used, 1, 1, up);
        const float g = warp_sum(m, gate[0]);
        value = g / (1.0f + m.exp(-g)) * warp_sum(m, up[0]);
      }
      if (m.lane() == 0) block.set(i, value);
    }
    m.barrier();
    if (m.warp() > 0) return;
    const float value = block.get(m.lane());
    if (first + m.lane() < a.gate.outputs) m.store(a.values + static_cast<size_t>(place) * a.value_stride + first + m.lane(), value);
    store_rounded(m, a.rounded, place, m.block_x(), value);
  }
};

// SwiGLU's second half: the sum over a token's experts of weight * (down h). grid: x over outputs in fours, y over tokens.
template <gguf::Type type>
struct Down {
  struct Arguments {
    Stack down;
    Input h;                // [tokens][used]
    const Choice* choices;  // [tokens][used], or nullptr
    int used;
    float* out;             // [tokens][outputs]
    bool add;               // to what is there
  };
  static constexpr int kThreads = 128;
  static constexpr int kRows = kThreads / kWarp;
  static constexpr int shared_bytes() { return 0; }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const int row = m.block_x() * kRows + m.warp(), t = m.block_y();
    if (row >= a.down.outputs) return;
    float sum = 0;
    for (int k = 0; k < a.used; ++k) {
      const int place = t * a.used + k;
      const Choice choice = a.choices ? m.load(a.choices + place) : Choice{0, 1.0f};
      float part[1] = {};
      add_products<type, 1>(m, weights_row(m, a.down, choice.expert, row), a.down.inputs, a.h, place, 1, 1, part);
      sum += choice.weight * part[0];
    }
    sum = warp_sum(m, sum);
    if (m.lane() > 0) return;
    float* const out = a.out + static_cast<size_t>(t) * a.down.outputs + row;
    m.store(out, a.add ? m.load(out) + sum : sum);
  }
};

}  // namespace wenqu::engine::cuda
