// Products of weights with few rows of input, where reading the weights is all the cost: a warp takes a row of
// weights, its lanes take turns along it, and each chunk that was read meets all the inputs.
//
// Decoding launches many small kernels, and a launch costs as much as reading a megabyte. So one takes all products of
// the same input, of whatever types: a block finds out what it works on, and that decides the code it runs.
#pragma once

#include "engine/cuda/kernels/input.h"
#include "engine/cuda/kernels/rows.h"
#include "engine/cuda/kernels/unpack.h"
#include "engine/cuda/weight_types.h"

namespace wenqu::engine::cuda {

template <gguf::Type type>
WENQU_BOTH constexpr bool has_minimum() {
  using gguf::Type;
  return type == Type::q4_1 || type == Type::q5_1 || type == Type::q2_k || type == Type::q4_k || type == Type::q5_k;
}

// sums[i] += the lane's part of weights * input row first + i * step, for i < count <= N. Several warps may share a row:
// this is number `part` of `parts`.
template <gguf::Type type, int N, typename Machine>
WENQU_DEVICE void add_products(Machine& m, const std::byte* weights, int inputs, const Input& x, int first, int step, int count,
                               float (&sums)[N], int part = 0, int parts = 1) {
  using gguf::Type;
  if constexpr (is_quantized(type)) {
    // What a lane waits for is the memory: with one row of input there is room to have two chunks on their way at once.
    // A lane for which there is no second one takes the row's first, which costs little, and leaves it.
    constexpr int kTogether = N == 1 ? 2 : 1;
    const int all = inputs / kBlock, stride = parts * kWarp;
    for (int c = part * kWarp + m.lane(); c < all; c += kTogether * stride) {
      Chunk w[kTogether];
      WENQU_UNROLL
      for (int u = 0; u < kTogether; ++u) w[u] = chunk<type>(m, weights, inputs, c + u * stride < all ? c + u * stride : 0);
      WENQU_UNROLL
      for (int u = 0; u < kTogether; ++u)
        for (int r = 0; r < 2; ++r)
          for (int i = 0; i < N; ++i) {
            if (i >= count) break;
            const size_t row = static_cast<size_t>(first + i * step);
            const Word4 q = m.load(reinterpret_cast<const Word4*>(x.q + row * x.q_stride + w[u].at[r]));
            const float scale = m.load(x.scales + row * (x.q_stride / kBlock) + w[u].at[r] / kBlock);
            const int product = m.dot4(w[u].q[r][3], q.w, m.dot4(w[u].q[r][2], q.z, m.dot4(w[u].q[r][1], q.y, m.dot4(w[u].q[r][0], q.x, 0))));
            float value = w[u].scale[r] * static_cast<float>(product);
            if constexpr (has_minimum<type>()) {
              constexpr uint32_t kOnes = 0x01010101;
              const int sum = m.dot4(kOnes, q.w, m.dot4(kOnes, q.z, m.dot4(kOnes, q.y, m.dot4(kOnes, q.x, 0))));
              value -= w[u].minimum[r] * static_cast<float>(sum);
            }
            sums[i] += u == 0 || c + u * stride < all ? scale * value : 0.0f;
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
    for (int c = part * kWarp + m.lane(); c < whole; c += parts * kWarp) {
      const Word4 v = m.load_once(reinterpret_cast<const Word4*>(weights) + c);
      const uint32_t words[4] = {v.x, v.y, v.z, v.w};
      for (int i = 0; i < kTogether; ++i) {
        if constexpr (type == Type::f32) add(c * 4 + i, m.as_float(words[i]));
        if constexpr (type == Type::f16) add(c * 8 + i, m.to_float(Half{static_cast<uint16_t>(words[i / 2] >> (i % 2 * 16))}));
        if constexpr (type == Type::bf16) add(c * 8 + i, m.to_float(Bfloat{static_cast<uint16_t>(words[i / 2] >> (i % 2 * 16))}));
      }
    }
    for (int i = whole * kTogether + part * kWarp + m.lane(); i < inputs; i += parts * kWarp) {
      if constexpr (type == Type::f32) add(i, m.load(reinterpret_cast<const float*>(weights) + i));
      if constexpr (type == Type::f16) add(i, m.to_float(m.load(reinterpret_cast<const Half*>(weights) + i)));
      if constexpr (type == Type::bf16) add(i, m.to_float(m.load(reinterpret_cast<const Bfloat*>(weights) + i)));
    }
  }
}

// The same for a type that is known when the kernel runs.
template <int N, typename Machine>
WENQU_DEVICE void add_products_of(Machine& m, gguf::Type type, const std::byte* weights, int inputs, const Input& x, int first, int step, int count,
                                  float (&sums)[N], int part = 0, int parts = 1) {
  using gguf::Type;
#define WENQU_TYPE(name) \
  case Type::name: return add_products<Type::name>(m, weights, inputs, x, first, step, count, sums, part, parts);
  switch (type) { WENQU_WEIGHT_TYPES(WENQU_TYPE) }
#undef WENQU_TYPE
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

// A stack's products, and where they go.
struct Product {
  Stack stack;
  gguf::Type type = gguf::Type::f32;
  float* out = nullptr;            // [tokens][matrices][out_stride]
  int out_stride = 0;
  const float* bias = nullptr;     // [outputs], or nullptr
};

// out[t * matrices + z] = matrix z of a product's stack times input row t * matrices + z, for up to N of `tokens` tokens
// at a time. grid: x over each product's outputs in fours, y over tokens in Ns, z over the matrices.
template <int N>
struct MatVecs {
  static constexpr int kMost = 3;
  struct Arguments {
    Product products[kMost];
    int count;              // of them
    Input x;
    int tokens, matrices;
    NormAfter after = {};   // of what was given, row by row; `matrices` is 1 then
  };
  static constexpr int kThreads = 128, kMinBlocks = 6;
  static constexpr int kRows = kThreads / kWarp;
  static constexpr int shared_bytes() { return kRows * static_cast<int>(sizeof(float)); }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const auto scratch = m.template shared<float>(kRows);
    int block = m.block_x(), p = 0;
    for (; p + 1 < a.count; ++p) {
      const int own = divide_up(a.products[p].stack.outputs, kRows);
      if (block < own) break;
      block -= own;
    }
    const Product& product = a.products[p];
    const int row = block * kRows + m.warp(), t = m.block_y() * N, z = m.block_z();
    const int count = a.tokens - t < N ? a.tokens - t : N;
    float sums[N] = {};
    if (row < product.stack.outputs)
      add_products_of<N>(m, product.type, weights_row(m, product.stack, z, row), product.stack.inputs, a.x, t * a.matrices + z, a.matrices, count, sums);
    for (int i = 0; i < N; ++i) {
      if (i >= count || row >= product.stack.outputs) break;
      const float sum = warp_sum(m, sums[i]);
      if (m.lane() == 0)
        m.store(product.out + static_cast<size_t>((t + i) * a.matrices + z) * product.out_stride + row,
                product.bias ? sum + m.load(product.bias + row) : sum);
    }
    a.after.by_last(m, scratch, t, count, m.blocks_x());
  }
};

// The same for one product of one row of input at a time, whose outputs are rounded too: a block takes 32 of them.
// grid: x over outputs in 32s, y over tokens, z over the matrices. REQUIRES: outputs a multiple of 32.
struct RoundedMatVec {
  struct Arguments {
    Product product;        // without bias
    Input x;
    int matrices;
    Rounded rounded;        // rows of [matrices][outputs]
  };
  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int shared_bytes() { return kBlock * static_cast<int>(sizeof(float)); }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const auto block = m.template shared<float>(kBlock);
    const Stack& stack = a.product.stack;
    const int t = m.block_y(), z = m.block_z(), first = m.block_x() * kBlock, place = t * a.matrices + z;
    for (int i = m.warp(); i < kBlock; i += kWarps) {
      float sum[1] = {};
      add_products_of<1>(m, a.product.type, weights_row(m, stack, z, first + i), stack.inputs, a.x, place, 1, 1, sum);
      const float value = warp_sum(m, sum[0]);
      if (m.lane() == 0) block.set(i, value);
    }
    m.barrier();
    if (m.warp() > 0) return;
    const float value = block.get(m.lane());
    m.store(a.product.out + static_cast<size_t>(place) * a.product.out_stride + first + m.lane(), value);
    store_rounded(m, a.rounded, t, (z * stack.outputs + first) / kBlock, value);
  }
};

// The expert that a token chose, and its weight.
struct alignas(8) Choice {
  int32_t expert = 0;
  float weight = 0;
};

// Experts that tokens have chosen, or with `choices` nullptr one that all take: expert 0, with the weight 1. Place p
// stands for choice p % used of token p / used.
struct Chosen {
  const Choice* choices = nullptr;   // [tokens][used]
  int used = 0;                      // 0: none
};

template <typename Machine>
WENQU_DEVICE Choice choice_at(Machine& m, const Chosen& chosen, int place) {
  return chosen.choices ? m.load(chosen.choices + place) : Choice{0, 1.0f};
}

// SwiGLU's first half (arXiv 2002.05202) for every token and each of its experts: silu(gate x) * (up x), rounded; for
// two sets of experts, the routed ones and the shared one. grid: x over the places of a token, each as many blocks as
// its width has 32s, the first set's and then the second's; y over tokens.
struct Gated {
  struct Experts {
    Stack gate, up;
    gguf::Type gate_type, up_type;
    Chosen chosen;
    float* values;          // [places][value_stride]
    int value_stride;
    Rounded rounded;        // the same
  };
  struct Arguments {
    Experts sets[2];
    Input x;                // [tokens]
  };
  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int shared_bytes() { return kBlock * static_cast<int>(sizeof(float)); }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const auto block = m.template shared<float>(kBlock);
    const int token = m.block_y(), of_first = divide_up(a.sets[0].gate.outputs, kBlock), all_of_first = a.sets[0].chosen.used * of_first;
    const int set = m.block_x() < all_of_first ? 0 : 1, at = set == 0 ? m.block_x() : m.block_x() - all_of_first;
    const Experts& e = a.sets[set];
    const int width = e.gate.outputs, of_place = divide_up(width, kBlock);
    const int place = token * e.chosen.used + at / of_place, column = at % of_place, first = column * kBlock;
    const int expert = choice_at(m, e.chosen, place).expert;
    for (int i = m.warp(); i < kBlock; i += kWarps) {
      float value = 0;
      if (first + i < width) {
        float sums[2];
        WENQU_NO_UNROLL
        for (int side = 0; side < 2; ++side) {
          const Stack& stack = side == 0 ? e.gate : e.up;
          float sum[1] = {};
          add_products_of<1>(m, side == 0 ? e.gate_type : e.up_type, weights_row(m, stack, expert, first + i), stack.inputs, a.x, token, 1, 1, sum);
          sums[side] = warp_sum(m, sum[0]);
        }
        value = sums[0] / (1.0f + m.exp(-sums[0])) * sums[1];
      }
      if (m.lane() == 0) block.set(i, value);
    }
    m.barrier();
    if (m.warp() > 0) return;
    const float value = block.get(m.lane());
    if (first + m.lane() < width) m.store(e.values + static_cast<size_t>(place) * e.value_stride + first + m.lane(), value);
    store_rounded(m, e.rounded, place, column, value);
  }
};

// SwiGLU's second half: the sum over a token's experts of weight * (down h), in order of choice, the second set's last.
// A block takes four outputs; its warps take turns at the experts of each. grid: x over outputs in fours, y over tokens.
struct Down {
  struct Experts {
    Stack down;
    gguf::Type type;
    Input h;                // [places]
    Chosen chosen;
  };
  struct Arguments {
    Experts sets[2];
    float* out;             // [tokens][outputs]
    bool add;               // to what is there
    NormAfter after = {};   // of a token's outputs
  };
  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / kWarp, kRows = 4;
  static constexpr int kMostUsed = 17;   // of both sets
  static_assert(kRows * kMostUsed >= kWarps);
  static constexpr int shared_bytes() { return kRows * kMostUsed * static_cast<int>(sizeof(float)); }

  template <typename Machine>
  WENQU_DEVICE static void run(Machine& m, const Arguments& a) {
    const auto parts = m.template shared<float>(kRows * kMostUsed);
    const int first = m.block_x() * kRows, outputs = a.sets[0].down.outputs, t = m.block_y();
    const int used = a.sets[0].chosen.used + a.sets[1].chosen.used;
    for (int i = m.warp(); i < kRows * used; i += kWarps) {
      const int row = first + i / used, k = i % used, set = k < a.sets[0].chosen.used ? 0 : 1;
      const Experts& e = a.sets[set];
      const int place = t * e.chosen.used + (set == 0 ? k : k - a.sets[0].chosen.used);
      float part = 0;
      if (row < outputs) {
        const Choice choice = choice_at(m, e.chosen, place);
        float sum[1] = {};
        add_products_of<1>(m, e.type, weights_row(m, e.down, choice.expert, row), e.down.inputs, e.h, place, 1, 1, sum);
        part = choice.weight * warp_sum(m, sum[0]);
      }
      if (m.lane() == 0) parts.set(i, part);
    }
    m.barrier();
    if (m.thread() < kRows && first + m.thread() < outputs) {
      float sum = 0;
      for (int k = 0; k < used; ++k) sum += parts.get(m.thread() * used + k);
      float* const out = a.out + static_cast<size_t>(t) * outputs + first + m.thread();
      m.store(out, a.add ? m.load(out) + sum : sum);
    }
    a.after.by_last(m, parts, t, 1, m.blocks_x());
  }
};

}  // namespace wenqu::engine::cuda
