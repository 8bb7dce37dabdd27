#include "engine/cuda/products.h"

#include <algorithm>

#include "engine/cuda/kernel_list.h"
#include "engine/cuda/types.h"

namespace wenqu::engine::cuda {
namespace {

unsigned blocks(int n, int by) { return static_cast<unsigned>(divide_up(n, by)); }

// Up to so many rows meet the weights as MatVec and Gated take them, at the memory's speed.
constexpr int kFewRows = 8;
// More tokens of a mixture go in turns, which bounds the scratch; an expert's weights are read once for each.
constexpr int kMostPlaces = 16384;

// What feed_forward() keeps between its kernels: parts of the scratch, each aligned for whatever it holds.
struct Scratch {
  float* values = nullptr;      // [places][width]: SwiGLU's first half
  float* up = nullptr;          // [kFewRows][width]
  Rounded rounded;              // values
  int32_t* order = nullptr;     // [places], of a mixture as are all that follow
  Tile* tiles = nullptr;
  float* parts = nullptr;       // [places][outputs]
  size_t bytes = 0;

  Scratch(const FeedForward& weights, int tokens, int used, void* memory) : memory_(static_cast<std::byte*>(memory)) {
    const size_t places = static_cast<size_t>(tokens) * static_cast<size_t>(used), width = static_cast<size_t>(weights.gate.outputs);
    rounded.stride = round_up(weights.gate.outputs, kBlock);
    const size_t stride = static_cast<size_t>(rounded.stride);
    values = take<float>(places * width);
    up = take<float>(kFewRows * width);
    rounded.q = take<int8_t>(places * stride);
    rounded.scales = take<float>(places * stride / kBlock);
    if (weights.experts == 0) return;
    order = take<int32_t>(places);
    tiles = take<Tile>(static_cast<size_t>(most_tiles(static_cast<int>(places), weights.experts)));
    parts = take<float>(places * static_cast<size_t>(weights.down.outputs));
  }

 private:
  template <typename T>
  T* take(size_t n) {
    const size_t at = bytes;
    bytes += (n * sizeof(T) + 255) / 256 * 256;
    return memory_ ? reinterpret_cast<T*>(memory_ + at) : nullptr;
  }
  std::byte* memory_;
};

int tokens_at_once(const FeedForward& weights, int tokens, int used) {
  return weights.experts == 0 ? tokens : std::min(tokens, std::max(kMostPlaces / used, 1));
}

Input from_row(const Input& x, int row) {
  const ptrdiff_t r = row;
  return {x.values ? x.values + r * x.value_stride : nullptr, x.value_stride, x.q ? x.q + r * x.q_stride : nullptr,
          x.scales ? x.scales + r * (x.q_stride / kBlock) : nullptr, x.q_stride};
}

template <int N>
Status few(Device& device, const Stack& stack, gguf::Type type, const Input& x, int tokens, int matrices, float* out, int out_stride,
           const float* bias) {
  return by_type(type, [&](auto constant) {
    using Kernel = MatVec<constant.value, N>;
    return launch<Kernel>(device, {blocks(stack.outputs, Kernel::kRows), blocks(tokens, N), static_cast<unsigned>(matrices)},
                          {stack, x, tokens, matrices, out, out_stride, bias});
  });
}

Status many(Device& device, const Stack& stack, gguf::Type type, const Input& x, const RowTiles& rows, unsigned tiles, float* out, int out_stride,
            const float* bias, bool add) {
  return by_type(type, [&](auto constant) {
    return launch<MatMul<constant.value>>(device, {blocks(stack.outputs, kTileOutputs), tiles, static_cast<unsigned>(rows.matrices)},
                                          {stack, x, rows, out, out_stride, bias, add});
  });
}

Status gate_many(Device& device, const FeedForward& weights, const Input& x, const RowTiles& rows, unsigned tiles, const Scratch& to) {
  return by_type(weights.type, [&](auto constant) {
    // Only what down is multiplied with.
    const bool whole = is_quantized(weights.down_type);
    return launch<GatedTiles<constant.value>>(
        device, {blocks(weights.gate.outputs, kBlock), tiles},
        {weights.gate, weights.up, x, rows, whole ? nullptr : to.values, weights.gate.outputs, whole ? to.rounded : Rounded()});
  });
}

Status down_few(Device& device, const FeedForward& weights, const Input& h, int tokens, const Choice* choices, int used, float* out, bool add) {
  return by_type(weights.down_type, [&](auto constant) {
    using Kernel = Down<constant.value>;
    return launch<Kernel>(device, {blocks(weights.down.outputs, Kernel::kRows), static_cast<unsigned>(tokens)},
                          {weights.down, h, choices, used, out, add});
  });
}

Status dense(Device& device, const FeedForward& weights, const Input& x, int tokens, float* out, bool add, const Scratch& scratch, const Input& h) {
  const int width = weights.gate.outputs, outputs = weights.down.outputs;
  const RowTiles rows{nullptr, nullptr, 1, tokens, 1};
  if (tokens > kFewRows) {
    WENQU_RETURN_IF_ERROR(gate_many(device, weights, x, rows, blocks(tokens, kTileRows), scratch));
  } else if (tokens > 1) {
    // Gated would read the weights again for each token.
    WENQU_RETURN_IF_ERROR(few<kFewRows>(device, weights.gate, weights.type, x, tokens, 1, scratch.values, width, nullptr));
    WENQU_RETURN_IF_ERROR(few<kFewRows>(device, weights.up, weights.type, x, tokens, 1, scratch.up, width, nullptr));
    WENQU_RETURN_IF_ERROR(launch<SiluMultiply>(device, {static_cast<unsigned>(tokens), blocks(width, SiluMultiply::kBlocks * kBlock)},
                                               {scratch.values, scratch.up, width, scratch.values, scratch.rounded}));
  } else {
    WENQU_RETURN_IF_ERROR(by_type(weights.type, [&](auto constant) {
      return launch<Gated<constant.value>>(device, {blocks(width, kBlock)},
                                           {weights.gate, weights.up, x, nullptr, 1, scratch.values, width, scratch.rounded});
    }));
  }
  if (!add) return multiply(device, weights.down, weights.down_type, h, tokens, 1, out, outputs, nullptr);
  if (tokens > kFewRows) return many(device, weights.down, weights.down_type, h, rows, blocks(tokens, kTileRows), out, outputs, nullptr, true);
  return down_few(device, weights, h, tokens, nullptr, 1, out, true);
}

Status mixture(Device& device, const FeedForward& weights, const Input& x, int tokens, const Choice* choices, int used, float* out, bool add,
               const Scratch& scratch, const Input& h) {
  const int width = weights.gate.outputs, outputs = weights.down.outputs, places = tokens * used;
  if (tokens <= kFewRows) {
    WENQU_RETURN_IF_ERROR(by_type(weights.type, [&](auto constant) {
      return launch<Gated<constant.value>>(device, {blocks(width, kBlock), static_cast<unsigned>(places)},
                                           {weights.gate, weights.up, x, choices, used, scratch.values, width, scratch.rounded});
    }));
    return down_few(device, weights, h, tokens, choices, used, out, add);
  }
  const auto tiles = static_cast<unsigned>(most_tiles(places, weights.experts));
  WENQU_RETURN_IF_ERROR(launch<SortByExpert>(device, {static_cast<unsigned>(weights.experts)},
                                             {choices, places, weights.experts, scratch.order, scratch.tiles}));
  WENQU_RETURN_IF_ERROR(gate_many(device, weights, x, {scratch.tiles, scratch.order, used}, tiles, scratch));
  WENQU_RETURN_IF_ERROR(
      many(device, weights.down, weights.down_type, h, {scratch.tiles, scratch.order}, tiles, scratch.parts, outputs, nullptr, false));
  return launch<SumExperts>(device, {blocks(outputs, SumExperts::kThreads), static_cast<unsigned>(tokens)},
                            {scratch.parts, choices, used, outputs, out, add});
}

}  // namespace

Status embed(Device& device, const Stack& embedding, gguf::Type type, const int32_t* tokens, int count, float* hidden) {
  if (count <= 0) return {};
  return by_type(type, [&](auto constant) {
    using Kernel = Embed<constant.value>;
    return launch<Kernel>(device, {blocks(embedding.inputs, Kernel::kThreads * kBlock), static_cast<unsigned>(count)},
                          {embedding.data, embedding.row_bytes, tokens, hidden, embedding.inputs});
  });
}

Status multiply(Device& device, const Stack& stack, gguf::Type type, const Input& x, int tokens, int matrices, float* out, int out_stride,
                const float* bias) {
  if (tokens <= 0) return {};
  if (tokens == 1) return few<1>(device, stack, type, x, tokens, matrices, out, out_stride, bias);
  // Tiles of a small matrix leave most of the device idle: up to four readings of it, most of them from the cache,
  // are faster.
  const unsigned tiles = blocks(tokens, kTileRows);
  const bool busy = tokens > 4 * kFewRows || 2 * blocks(stack.outputs, kTileOutputs) * static_cast<unsigned>(matrices) >=
                                                 static_cast<unsigned>(device.info().multiprocessors);
  if (tokens > kFewRows && busy) return many(device, stack, type, x, {nullptr, nullptr, 1, tokens, matrices}, tiles, out, out_stride, bias, false);
  return few<kFewRows>(device, stack, type, x, tokens, matrices, out, out_stride, bias);
}

size_t feed_forward_scratch(const FeedForward& weights, int tokens, int used) {
  return Scratch(weights, tokens_at_once(weights, tokens, used), used, nullptr).bytes;
}

Status feed_forward(Device& device, const FeedForward& weights, const Input& x, int tokens, const Choice* choices, int used, float* out, bool add,
                    void* memory) {
  if (choices && weights.experts == 0) return Status(StatusCode::internal, "choices of experts where there are none");
  const int together = tokens_at_once(weights, tokens, used);
  for (int t = 0; t < tokens; t += together) {
    const int count = std::min(together, tokens - t);
    const Scratch scratch(weights, count, used, memory);
    const Input h{scratch.values, weights.gate.outputs, scratch.rounded.q, scratch.rounded.scales, scratch.rounded.stride};
    const Input rows = from_row(x, t);
    float* const to = out + static_cast<ptrdiff_t>(t) * weights.down.outputs;
    WENQU_RETURN_IF_ERROR(choices ? mixture(device, weights, rows, count, choices + static_cast<ptrdiff_t>(t) * used, used, to, add, scratch, h)
                                  : dense(device, weights, rows, count, to, add, scratch, h));
  }
  return {};
}

}  // namespace wenqu::engine::cuda
