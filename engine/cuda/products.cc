#include "engine/cuda/products.h"

#include <fmt/format.h>

#include <type_traits>

#include "engine/cuda/kernel_list.h"

namespace wenqu::engine::cuda {
namespace {


unsigned blocks(int n, int by) { return static_cast<unsigned>(divide_up(n, by)); }

// Calls `launcher` with the type as a constant.
template <typename Launcher>
Status by_type(gguf::Type type, Launcher&& launcher) {
  using gguf::Type;
#define WENQU_TYPE(name) \
  case Type::name: return launcher(std::integral_constant<Type, Type::name>())
  switch (type) {
    WENQU_TYPE(f32);
    WENQU_TYPE(f16);
    WENQU_TYPE(bf16);
    WENQU_TYPE(q8_0);
    WENQU_TYPE(q4_0);
    WENQU_TYPE(q4_1);
    WENQU_TYPE(q5_0);
    WENQU_TYPE(q5_1);
    WENQU_TYPE(iq4_nl);
    WENQU_TYPE(q2_k);
    WENQU_TYPE(q3_k);
    WENQU_TYPE(q4_k);
    WENQU_TYPE(q5_k);
    WENQU_TYPE(q6_k);
    WENQU_TYPE(iq4_xs);
  }
#undef WENQU_TYPE
  return Status(StatusCode::internal, fmt::format("no kernels for weights of type {}", static_cast<uint32_t>(type)));
}

// What feed_forward() keeps between its kernels: parts of the scratch, each aligned for whatever it holds.
struct Scratch {
  float* values = nullptr;   // [places][width]: SwiGLU's first half
  Rounded rounded;           // the same
  size_t bytes = 0;

  Scratch(const FeedForward& weights, int tokens, int used, void* memory) : memory_(static_cast<std::byte*>(memory)) {
    const size_t places = static_cast<size_t>(tokens) * static_cast<size_t>(used);
    rounded.stride = round_up(weights.gate.outputs, kBlock);
    const size_t stride = static_cast<size_t>(rounded.stride);
    values = take<float>(places * static_cast<size_t>(weights.gate.outputs));
    rounded.q = take<int8_t>(places * stride);
    rounded.scales = take<float>(places * stride / kBlock);
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
  return by_type(type, [&](auto constant) {
    const auto with = [&]<int N>(std::integral_constant<int, N>) {
      using Kernel = MatVec<constant.value, N>;
      return launch<Kernel>(device, {blocks(stack.outputs, Kernel::kRows), blocks(tokens, N), static_cast<unsigned>(matrices)},
                            {stack, x, tokens, matrices, out, out_stride, bias});
    };
    return tokens == 1 ? with(std::integral_constant<int, 1>()) : with(std::integral_constant<int, 8>());
  });
}

size_t feed_forward_scratch(const FeedForward& weights, int tokens, int used) { return Scratch(weights, tokens, used, nullptr).bytes; }

Status feed_forward(Device& device, const FeedForward& weights, const Input& x, int tokens, const Choice* choices, int used, float* out, bool add,
                    void* memory) {
  if (tokens <= 0) return {};
  const Scratch scratch(weights, tokens, used, memory);
  const int width = weights.gate.outputs, places = tokens * used;
  WENQU_RETURN_IF_ERROR(by_type(weights.type, [&](auto constant) {
    return launch<Gated<constant.value>>(device, {blocks(width, kBlock), static_cast<unsigned>(places)},
                                         {weights.gate, weights.up, x, choices, used, scratch.values, width, scratch.rounded});
  }));
  const Input h{scratch.values, width, scratch.rounded.q, scratch.rounded.scales, scratch.rounded.stride};
  return by_type(weights.down_type, [&](auto constant) {
    using Kernel = Down<constant.value>;
    return launch<Kernel>(device, {blocks(weights.down.outputs, Kernel::kRows), static_cast<unsigned>(tokens)},
                          {weights.down, h, choices, used, out, add});
  });
}

}  // namespace wenqu::engine::cuda
