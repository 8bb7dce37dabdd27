#include "engine/cuda/expansion.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/cuda/kernel_list.h"
#include "engine/cuda/types.h"

namespace wenqu::engine::cuda {
namespace {

size_t to_size(int n) { return static_cast<size_t>(n); }
size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

size_t k_bytes(const LatentShape& shape, int heads) { return aligned(to_size(heads) * to_size(shape.latent) * to_size(shape.nope) * sizeof(Half)); }
size_t v_bytes(const LatentShape& shape, int heads) { return aligned(to_size(heads) * to_size(shape.latent) * to_size(shape.value) * sizeof(Half)); }
size_t page_bytes(const LatentShape& shape, int heads) {
  return aligned(to_size(heads) * kPageTokens * to_size(shape.nope + shape.rope + shape.value) * sizeof(Half));
}

// `count` of the stack's matrices from `first` on as halves: where they are such already, or in `scratch`.
Result<const Half*> halves(Device& device, const Stack& stack, gguf::Type type, int first, int count, std::byte* scratch) {
  const std::byte* const from = stack.data + to_size(first) * stack.matrix_bytes;
  if (type == gguf::Type::f16 && stack.row_bytes == to_size(stack.inputs) * sizeof(Half)) return reinterpret_cast<const Half*>(from);
  Half* const out = reinterpret_cast<Half*>(scratch);
  const int rows = count * stack.outputs;
  const Status status = by_type(type, [&](auto constant) {
    using Kernel = HalfRows<constant.value>;
    return launch<Kernel>(device, {static_cast<unsigned>(divide_up(rows * divide_up(stack.inputs, kBlock), Kernel::kThreads))},
                          {from, stack.row_bytes, rows, stack.inputs, out});
  });
  if (!status) return status;
  return static_cast<const Half*>(out);
}

}  // namespace

bool expansion_pays(const LatentShape& shape, size_t position, size_t tokens) {
  if ((shape.latent | shape.rope | shape.nope | shape.value) % 8 != 0) return false;   // as ExpandLatents wants them
  // In products of halves; carrying queries and results through the matrices is done in bytes, at twice their rate.
  constexpr double kAbsorbing = 0.5;
  const double t = static_cast<double>(tokens), p = static_cast<double>(position), pairs = t * (p + (t + 1) / 2);
  const double per_token = static_cast<double>(shape.latent) * (shape.nope + shape.value);
  const double expanded = per_token * (p + t) + pairs * (shape.nope + shape.rope + shape.value);
  const double absorbed = per_token * kAbsorbing * t + pairs * (2.0 * shape.latent + shape.rope);
  return expanded < absorbed;
}

size_t expansion_bytes(const LatentShape& shape, size_t pages) { return k_bytes(shape, 1) + v_bytes(shape, 1) + pages * page_bytes(shape, 1); }

Result<ExpansionPlan> expansion_plan(const LatentShape& shape, std::span<const Place> places, size_t sequences, std::byte* scratch,
                                     size_t scratch_bytes, const DeviceInfo& device, size_t partial_room) {
  ExpansionPlan plan;
  plan.first_page.resize(sequences);
  size_t pages = 0;
  int longest = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    if (i + 1 < places.size() && places[i + 1].sequence == places[i].sequence) continue;
    const int seen = places[i].position + 1;   // by the sequence's last token: all its keys
    longest = std::max(longest, seen);
    plan.first_page[to_size(places[i].sequence)] = static_cast<int32_t>(pages);
    pages += to_size(divide_up(seen, kPageTokens));
    for (int t = 0; t < seen; t += ExpandLatents::kTokens)
      plan.tiles.push_back({places[i].sequence, t, std::min(ExpandLatents::kTokens, seen - t), 0});
  }
  // As many turns as the scratch asks for, and as many heads in each.
  const size_t fit = scratch_bytes / expansion_bytes(shape, pages);
  constexpr size_t kMostTiles = 65535;   // blocks of a grid's second dimension
  if (fit == 0 || plan.tiles.size() > kMostTiles)
    return Status(StatusCode::limit_exceeded, fmt::format("keys of {} tokens do not fit a GPU's scratch of {} bytes", pages * kPageTokens, scratch_bytes));
  const int turns = divide_up(shape.heads, static_cast<int>(std::min(fit, to_size(shape.heads))));
  plan.heads = divide_up(shape.heads, turns);
  std::byte* const first = scratch + k_bytes(shape, plan.heads) + v_bytes(shape, plan.heads);
  for (size_t p = 0; p < pages; ++p) plan.pages.push_back(first + p * page_bytes(shape, plan.heads));
  WENQU_ASSIGN_OR_RETURN(plan.attention, attention_plan(plan.shape(shape), places, longest, device, false, partial_room));
  return plan;
}

Status attend_expanded(Device& device, const ExpansionPlan& plan, const LatentShape& shape, const LatentMatrices& matrices,
                       const ExpansionTables& tables, std::byte* scratch, AttentionArguments arguments) {
  const CacheRows latents = arguments.cache;
  const int key = shape.nope + shape.rope, of_head = ExpandLatents::pieces(shape.nope) + ExpandLatents::pieces(shape.value);
  const float* const queries = arguments.queries;
  float* const out = arguments.out;
  for (int head = 0; head < shape.heads; head += plan.heads) {
    const int heads = std::min(plan.heads, shape.heads - head);
    WENQU_ASSIGN_OR_RETURN(const Half* const k_b, halves(device, matrices.k_b, matrices.k_type, head, heads, scratch));
    WENQU_ASSIGN_OR_RETURN(const Half* const v_b, halves(device, matrices.v_b, matrices.v_type, head, heads, scratch + k_bytes(shape, plan.heads)));
    arguments.cache = {tables.pages, tables.first_page, 0, heads, key, shape.value, key * 2, shape.value * 2, KvType::f16};
    WENQU_RETURN_IF_ERROR(launch<ExpandLatents>(device, {static_cast<unsigned>(heads * of_head), static_cast<unsigned>(plan.tiles.size())},
                                                {latents, arguments.cache, tables.tiles, k_b, v_b, shape.latent, shape.nope, shape.rope}));
    arguments.queries = queries + static_cast<ptrdiff_t>(head) * key, arguments.out = out + static_cast<ptrdiff_t>(head) * shape.value;
    arguments.heads = heads, arguments.row_heads = shape.heads;
    arguments.value = shape.value, arguments.values_are_keys = false;
    AttentionPlan attention = plan.attention;
    attention.kv_heads = heads;   // the last turn may have fewer
    WENQU_RETURN_IF_ERROR(attend(device, attention, arguments));
  }
  return {};
}

}  // namespace wenqu::engine::cuda
