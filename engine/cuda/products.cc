#include "engine/cuda/products.h"

#include <algorithm>

#include "engine/cuda/kernel_list.h"
#include "engine/cuda/types.h"

namespace wenqu::engine::cuda {
namespace {

unsigned blocks(int n, int by) { return static_cast<unsigned>(divide_up(n, by)); }

// Up to so many rows meet the weights as MatVecs and Gated take them, at the memory's speed.
constexpr int kFewRows = 8;
// More tokens of a mixture go in turns, which bounds the scratch; an expert's weights are read once for each.
constexpr int kMostPlaces = 16384;

// From so many on, rows are multiplied by warpgroups where the device has them: fewer would leave much of a tile empty. An
// expert has half of them at least, where all have as many.
constexpr int kLeastWarpgroupRows = 64;

// What feed_forward() keeps between its kernels: parts of the scratch, each aligned for whatever it holds.
struct Scratch {
  float* values = nullptr;      // [places][width]: SwiGLU's first half
  float* up = nullptr;          // [kFewRows][width]; [places][width] where gate and up differ
  Rounded rounded;              // values; or,
  Halves halves;                // in the same memory, these
  int32_t* order = nullptr;     // [places], of a mixture as are all that follow
  Tile* tiles = nullptr;
  float* parts = nullptr;       // [places][outputs]
  size_t bytes = 0;

  Scratch(const FeedForward& weights, int tokens, int used, void* memory) : memory_(static_cast<std::byte*>(memory)) {
    const size_t places = static_cast<size_t>(tokens) * static_cast<size_t>(used), width = static_cast<size_t>(weights.gate.outputs);
    rounded.stride = round_up(weights.gate.outputs, kBlock);
    const size_t stride = static_cast<size_t>(rounded.stride);
    values = take<float>(places * width);
    up = take<float>((weights.gate_type == weights.up_type ? kFewRows : std::max<size_t>(kFewRows, places)) * width);
    const size_t before = bytes;
    rounded.q = take<int8_t>(places * stride);
    rounded.scales = take<float>(places * stride / kBlock);
    const size_t behind = bytes;
    bytes = before;
    halves.stride = round_up(weights.gate.outputs, kTileDepth);
    halves.values = take<Half>(places * static_cast<size_t>(halves.stride));
    halves.scales = take<float>(places);
    bytes = std::max(bytes, behind);
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
          x.scales ? x.scales + r * (x.q_stride / kBlock) : nullptr, x.q_stride, x.halves};
}

// Whether rows meet the weights by warpgroups.
bool by_warpgroups(const Device& device, const Stack& stack, gguf::Type type, const Input& x, Rows kind) {
  return device.info().warpgroups && kind == Rows::fastest && x.values && x.halves.values && warpgroups::takes(type) &&
         (is_quantized(type) || stack.inputs % kTileDepth == 0);
}
// Of one matrix: where rows fill a tile and tiles half of the device; smaller tiles divide the rest better.
bool enough_rows(const Device& device, const Stack& stack, int rows) {
  return rows >= kLeastWarpgroupRows &&
         2 * blocks(stack.outputs, warpgroups::kOutputs) * blocks(rows, warpgroups::kRows) >= static_cast<unsigned>(device.info().multiprocessors);
}

Status halve(Device& device, const Input& x, int rows, int n) {
  return launch<HalveRows>(device, {static_cast<unsigned>(rows)}, {x.values, x.value_stride, n, x.halves});
}

// Calls `launcher` with a type that warpgroups take as a constant.
template <typename Launcher>
Status by_warpgroup_type(gguf::Type type, Launcher&& launcher) {
  return by_type(type, [&](auto constant) -> Status {
    if constexpr (warpgroups::takes(constant.value)) return launcher(constant);
    else return Status(StatusCode::internal, "a type that warpgroups do not take");
  });
}

// As many() with rows that halve() has made.
Status many_halves(Device& device, const Stack& stack, gguf::Type type, const Halves& x, const RowTiles& rows, unsigned tiles, float* out, int out_stride,
                   const float* bias, bool add) {
  return by_warpgroup_type(type, [&](auto constant) {
    return launch<WarpgroupMatMul<constant.value>>(device, {blocks(stack.outputs, warpgroups::kOutputs), tiles}, {stack, x, rows, out, out_stride, bias, add});
  });
}

template <int N>
Status few(Device& device, std::span<const Product> products, const Input& x, int tokens, int matrices, const NormAfter& after) {
  using Kernel = MatVecs<N>;
  if (products.size() > Kernel::kMost) return Status(StatusCode::internal, "more products than a launch takes");
  typename Kernel::Arguments arguments{{}, static_cast<int>(products.size()), x, tokens, matrices, after};
  std::copy(products.begin(), products.end(), arguments.products);
  unsigned outputs = 0;
  for (const Product& product : products) outputs += blocks(product.stack.outputs, Kernel::kRows);
  return launch<Kernel>(device, {outputs, blocks(tokens, N), static_cast<unsigned>(matrices)}, arguments);
}
Status few(Device& device, std::span<const Product> products, const Input& x, int tokens, int matrices, const NormAfter& after = {}) {
  return tokens == 1 ? few<1>(device, products, x, tokens, matrices, after) : few<kFewRows>(device, products, x, tokens, matrices, after);
}

// Where the kernels that gave the rows did not do it.
Status norm_after(Device& device, const NormAfter& after, int tokens) {
  return after.rows.weight ? launch<RmsNorm>(device, {static_cast<unsigned>(tokens)}, after.rows) : Status();
}

Status many(Device& device, const Stack& stack, gguf::Type type, const Input& x, const RowTiles& rows, unsigned tiles, float* out, int out_stride,
            const float* bias, bool add) {
  return by_type(type, [&](auto constant) {
    return launch<MatMul<constant.value>>(device, {blocks(stack.outputs, kTileOutputs), tiles, static_cast<unsigned>(rows.matrices)},
                                          {stack, x, rows, out, out_stride, bias, add});
  });
}

Status silu_multiply(Device& device, const Scratch& scratch, int width, int rows) {
  return launch<SiluMultiply>(device, {static_cast<unsigned>(rows), blocks(width, SiluMultiply::kBlocks * kBlock)},
                              {scratch.values, scratch.up, width, scratch.values, scratch.rounded});
}

// Rows of x meet gate and up; `places` rows come of it.
Status gate_many(Device& device, const FeedForward& weights, const Input& x, const RowTiles& rows, unsigned tiles, int places, const Scratch& to) {
  const int width = weights.gate.outputs;
  if (weights.gate_type != weights.up_type) {
    WENQU_RETURN_IF_ERROR(many(device, weights.gate, weights.gate_type, x, rows, tiles, to.values, width, nullptr, false));
    WENQU_RETURN_IF_ERROR(many(device, weights.up, weights.up_type, x, rows, tiles, to.up, width, nullptr, false));
    return silu_multiply(device, to, width, places);
  }
  return by_type(weights.gate_type, [&](auto constant) {
    // Only what down is multiplied with.
    const bool whole = is_quantized(weights.down_type);
    return launch<GatedTiles<constant.value>>(
        device, {blocks(width, kBlock), tiles},
        {weights.gate, weights.up, x, rows, whole ? nullptr : to.values, width, whole ? to.rounded : Rounded()});
  });
}

Input of(const FeedForward& weights, const Scratch& scratch) {
  return {scratch.values, weights.gate.outputs, scratch.rounded.q, scratch.rounded.scales, scratch.rounded.stride, scratch.halves};
}

// Whether both halves of a feed-forward go by warpgroups, if there are rows enough.
bool by_warpgroups(const Device& device, const FeedForward& weights, const Input& x, const Scratch& scratch, Rows kind) {
  return weights.gate_type == weights.up_type && by_warpgroups(device, weights.gate, weights.gate_type, x, kind) &&
         by_warpgroups(device, weights.down, weights.down_type, of(weights, scratch), kind);
}

// gate_many() and many() of down. `rows`: of x; `inner`: of what comes between, `places` rows.
Status feed_forward_by_warpgroups(Device& device, const FeedForward& weights, const Input& x, int tokens, const RowTiles& rows, const RowTiles& inner,
                                  unsigned tiles, int places, const Scratch& scratch, float* out, bool add) {
  const int width = weights.gate.outputs;
  WENQU_RETURN_IF_ERROR(halve(device, x, tokens, weights.gate.inputs));
  WENQU_RETURN_IF_ERROR(by_warpgroup_type(weights.gate_type, [&](auto constant) {
    return launch<WarpgroupGated<constant.value>>(device, {blocks(width, 64), tiles}, {weights.gate, weights.up, x.halves, rows, scratch.values, width});
  }));
  const Input h = of(weights, scratch);
  WENQU_RETURN_IF_ERROR(halve(device, h, places, width));
  return many_halves(device, weights.down, weights.down_type, h.halves, inner, tiles, out, weights.down.outputs, nullptr, add);
}

// Whose scratch is null is not wanted.
struct FewExperts {
  const FeedForward* weights;
  const Scratch* scratch;
  Chosen chosen;
};

// Gated and Down for few tokens, of one set of experts or two.
Status few_gated(Device& device, std::span<const FewExperts> sets, const Input& x, int tokens) {
  Gated::Arguments arguments{{}, x};
  unsigned width = 0;
  for (size_t i = 0; i < sets.size(); ++i) {
    const FeedForward& w = *sets[i].weights;
    arguments.sets[i] = {w.gate, w.up, w.gate_type, w.up_type, sets[i].chosen, sets[i].scratch->values, w.gate.outputs, sets[i].scratch->rounded};
    width += blocks(w.gate.outputs, kBlock) * static_cast<unsigned>(sets[i].chosen.used);
  }
  return launch<Gated>(device, {width, static_cast<unsigned>(tokens)}, arguments);
}

Status few_down(Device& device, std::span<const FewExperts> sets, int tokens, float* out, bool add, const NormAfter& after) {
  Down::Arguments arguments{{}, out, add, after};
  int used = 0;
  for (size_t i = 0; i < sets.size(); ++i) {
    const FeedForward& w = *sets[i].weights;
    arguments.sets[i] = {w.down, w.down_type, of(w, *sets[i].scratch), sets[i].chosen};
    used += sets[i].chosen.used;
  }
  if (used > Down::kMostUsed) return Status(StatusCode::internal, "more experts of a token than a launch takes");
  return launch<Down>(device, {blocks(arguments.sets[0].down.outputs, Down::kRows), static_cast<unsigned>(tokens)}, arguments);
}

bool are_few(int tokens, Rows kind) { return tokens <= kFewRows && kind == Rows::fastest; }

Status dense(Device& device, const FeedForward& weights, const Input& x, int tokens, float* out, bool add, const Scratch& scratch,
             const NormAfter& after, Rows kind) {
  const int width = weights.gate.outputs, outputs = weights.down.outputs;
  const RowTiles rows{nullptr, nullptr, 1, tokens, 1};
  if (enough_rows(device, weights.gate, tokens) && by_warpgroups(device, weights, x, scratch, kind)) {
    const unsigned tiles = blocks(tokens, warpgroups::kRows);
    WENQU_RETURN_IF_ERROR(feed_forward_by_warpgroups(device, weights, x, tokens, rows, rows, tiles, tokens, scratch, out, add));
    return norm_after(device, after, tokens);
  }
  Input h = of(weights, scratch);
  h.halves = {};   // there may be no floats that they could be made of
  const FewExperts one[] = {{&weights, &scratch, {nullptr, 1}}};
  if (!are_few(tokens, kind)) {
    WENQU_RETURN_IF_ERROR(gate_many(device, weights, x, rows, blocks(tokens, kTileRows), tokens, scratch));
  } else if (tokens > 1) {
    // Gated would read the weights again for each token.
    const Product both[] = {{weights.gate, weights.gate_type, scratch.values, width, nullptr}, {weights.up, weights.up_type, scratch.up, width, nullptr}};
    WENQU_RETURN_IF_ERROR(few(device, both, x, tokens, 1));
    WENQU_RETURN_IF_ERROR(silu_multiply(device, scratch, width, tokens));
  } else {
    WENQU_RETURN_IF_ERROR(few_gated(device, one, x, tokens));
  }
  if (!add) {
    const Product down[] = {{weights.down, weights.down_type, out, outputs, nullptr}};
    return multiply(device, down, h, tokens, after, kind);
  }
  if (are_few(tokens, kind)) return few_down(device, one, tokens, out, true, after);
  WENQU_RETURN_IF_ERROR(many(device, weights.down, weights.down_type, h, rows, blocks(tokens, kTileRows), out, outputs, nullptr, true));
  return norm_after(device, after, tokens);
}

Status mixture(Device& device, const FeedForward& weights, const Input& x, int tokens, const Choice* choices, int used, float* out, bool add,
               const Scratch& scratch, const NormAfter& after, Rows kind) {
  const int outputs = weights.down.outputs, places = tokens * used;
  if (are_few(tokens, kind)) {
    const FewExperts chosen[] = {{&weights, &scratch, {choices, used}}};
    WENQU_RETURN_IF_ERROR(few_gated(device, chosen, x, tokens));
    return few_down(device, chosen, tokens, out, add, after);
  }
  const bool warpgroups = 2 * places >= kLeastWarpgroupRows * weights.experts && by_warpgroups(device, weights, x, scratch, kind);
  const int tile_rows = warpgroups ? warpgroups::kRows : kTileRows;
  const auto tiles = static_cast<unsigned>(most_tiles(places, weights.experts, tile_rows));
  const RowTiles by_token{scratch.tiles, scratch.order, used}, by_place{scratch.tiles, scratch.order};
  WENQU_RETURN_IF_ERROR(launch<SortByExpert>(device, {static_cast<unsigned>(weights.experts)},
                                             {choices, places, weights.experts, scratch.order, scratch.tiles, tile_rows}));
  if (warpgroups) {
    WENQU_RETURN_IF_ERROR(
        feed_forward_by_warpgroups(device, weights, x, tokens, by_token, by_place, tiles, places, scratch, scratch.parts, false));
  } else {
    WENQU_RETURN_IF_ERROR(gate_many(device, weights, x, by_token, tiles, places, scratch));
    WENQU_RETURN_IF_ERROR(many(device, weights.down, weights.down_type, of(weights, scratch), by_place, tiles, scratch.parts, outputs, nullptr, false));
  }
  WENQU_RETURN_IF_ERROR(launch<SumExperts>(device, {blocks(outputs, SumExperts::kThreads), static_cast<unsigned>(tokens)},
                                           {scratch.parts, choices, used, outputs, out, add}));
  return norm_after(device, after, tokens);
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

namespace {

// `halved`: whether x's halves are there already.
Status multiply(Device& device, const Stack& stack, gguf::Type type, const Input& x, int tokens, int matrices, float* out, int out_stride,
                const float* bias, Rows kind, bool& halved) {
  const Product product[] = {{stack, type, out, out_stride, bias}};
  if (tokens == 1 && kind == Rows::fastest) return few(device, product, x, tokens, matrices);
  if (matrices == 1 && enough_rows(device, stack, tokens) && by_warpgroups(device, stack, type, x, kind)) {
    if (!halved) WENQU_RETURN_IF_ERROR(halve(device, x, tokens, stack.inputs));
    halved = true;
    return many_halves(device, stack, type, x.halves, {nullptr, nullptr, 1, tokens, 1}, blocks(tokens, warpgroups::kRows), out, out_stride, bias, false);
  }
  // Tiles of a small matrix leave most of the device idle: up to four readings of it, most of them from the cache,
  // are faster.
  const unsigned tiles = blocks(tokens, kTileRows);
  const bool busy = tokens > 4 * kFewRows || 2 * blocks(stack.outputs, kTileOutputs) * static_cast<unsigned>(matrices) >=
                                                 static_cast<unsigned>(device.info().multiprocessors);
  if ((tokens > kFewRows && busy) || kind == Rows::alike) return many(device, stack, type, x, {nullptr, nullptr, 1, tokens, matrices}, tiles, out, out_stride, bias, false);
  return few(device, product, x, tokens, matrices);
}

}  // namespace

Status multiply(Device& device, const Stack& stack, gguf::Type type, const Input& x, int tokens, int matrices, float* out, int out_stride,
                const float* bias, Rows kind) {
  bool halved = false;
  return tokens > 0 ? multiply(device, stack, type, x, tokens, matrices, out, out_stride, bias, kind, halved) : Status();
}

Status multiply(Device& device, std::span<const Product> products, const Input& x, int tokens, const NormAfter& after, Rows kind) {
  if (tokens <= 0) return {};
  if (are_few(tokens, kind)) return few(device, products, x, tokens, 1, after);
  bool halved = false;
  for (const Product& p : products) WENQU_RETURN_IF_ERROR(multiply(device, p.stack, p.type, x, tokens, 1, p.out, p.out_stride, p.bias, kind, halved));
  return norm_after(device, after, tokens);
}

Status multiply_and_round(Device& device, const Stack& stack, gguf::Type type, const Input& x, int tokens, int matrices, float* out,
                          const Rounded& rounded, Rows kind) {
  if (tokens <= 0) return {};
  if (are_few(tokens, kind))
    return launch<RoundedMatVec>(device, {blocks(stack.outputs, kBlock), static_cast<unsigned>(tokens), static_cast<unsigned>(matrices)},
                                 {{stack, type, out, stack.outputs, nullptr}, x, matrices, rounded});
  WENQU_RETURN_IF_ERROR(multiply(device, stack, type, x, tokens, matrices, out, stack.outputs, nullptr, kind));
  const int n = matrices * stack.outputs;
  return launch<RoundRows>(device, {static_cast<unsigned>(tokens), blocks(n, RoundRows::kBlocks * kBlock)}, {out, n, n, rounded});
}

Status route(Device& device, const Stack& router, gguf::Type type, const Input& x, int tokens, float* logits, ChooseExperts::Arguments how,
             uint32_t* arrived, Rows kind) {
  if (tokens <= 0) return {};
  how.logits = logits;
  if (are_few(tokens, kind))
    return launch<RouteTokens>(device, {static_cast<unsigned>(how.experts), static_cast<unsigned>(tokens)}, {router, type, x, logits, how, arrived});
  WENQU_RETURN_IF_ERROR(multiply(device, router, type, x, tokens, 1, logits, how.experts, nullptr, kind));
  return launch<ChooseExperts>(device, {static_cast<unsigned>(tokens)}, how);
}

size_t feed_forward_scratch(const FeedForward& weights, int tokens, int used) {
  return Scratch(weights, tokens_at_once(weights, tokens, used), used, nullptr).bytes;
}

Status feed_forward(Device& device, const FeedForward& weights, const Input& x, int tokens, const Choice* choices, int used, float* out, bool add,
                    void* memory, const NormAfter& after, Rows kind) {
  if (choices && weights.experts == 0) return Status(StatusCode::internal, "choices of experts where there are none");
  const int together = tokens_at_once(weights, tokens, used);
  const NormAfter own = together < tokens ? NormAfter() : after;   // in turns, it is of all of them at last
  for (int t = 0; t < tokens; t += together) {
    const int count = std::min(together, tokens - t);
    const Scratch scratch(weights, count, used, memory);
    const Input rows = from_row(x, t);
    float* const to = out + static_cast<ptrdiff_t>(t) * weights.down.outputs;
    WENQU_RETURN_IF_ERROR(choices ? mixture(device, weights, rows, count, choices + static_cast<ptrdiff_t>(t) * used, used, to, add, scratch, own, kind)
                                  : dense(device, weights, rows, count, to, add, scratch, own, kind));
  }
  return together < tokens ? norm_after(device, after, tokens) : Status();
}

size_t experts_scratch(const FeedForward& routed, const FeedForward& shared, int tokens, int used) {
  const int together = std::min(tokens, kFewRows);   // both at once
  return std::max({feed_forward_scratch(routed, tokens, used), feed_forward_scratch(shared, tokens, 1),
                   Scratch(routed, together, used, nullptr).bytes + Scratch(shared, together, 1, nullptr).bytes});
}

Status experts(Device& device, const FeedForward& routed, const FeedForward& shared, const Input& x, int tokens, const Choice* choices, int used,
               float* out, void* memory, const NormAfter& after, Rows kind) {
  if (!are_few(tokens, kind) || used >= Down::kMostUsed) {
    WENQU_RETURN_IF_ERROR(feed_forward(device, shared, x, tokens, nullptr, 1, out, false, memory, {}, kind));
    return feed_forward(device, routed, x, tokens, choices, used, out, true, memory, after, kind);
  }
  const Scratch of_routed(routed, tokens, used, memory);
  const Scratch of_shared(shared, tokens, 1, static_cast<std::byte*>(memory) + of_routed.bytes);
  const FewExperts sets[] = {{&routed, &of_routed, {choices, used}}, {&shared, &of_shared, {nullptr, 1}}};
  WENQU_RETURN_IF_ERROR(few_gated(device, sets, x, tokens));
  return few_down(device, sets, tokens, out, false, after);
}

}  // namespace wenqu::engine::cuda
