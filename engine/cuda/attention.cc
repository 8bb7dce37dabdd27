#include "engine/cuda/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "engine/cuda/kernel_list.h"

namespace wenqu::engine::cuda {
namespace {

constexpr int kMaxSplits = 128;         // what they leave to be put together costs too
constexpr size_t kMaxTiles = 65535;        // blocks of a grid's third dimension
constexpr int kBlocksAtOnce = 2;           // of a multiprocessor, at least

constexpr int kAlikeKeys = 1024;           // of a split, where a row's result must not depend on the batch

constexpr int kWideKey = 256;              // above, a block of many rows has little room for keys

struct Candidate {
  int kernel = 0, rows = 0, keys = 0, max_value = 0, buffers = 0;
  unsigned threads = 0;
  size_t shared_bytes = 0;
};

template <typename Kernel>
void add_candidates(const AttentionShape& shape, std::vector<Candidate>& to) {
  for (const int buffers : {2, 1})
    to.push_back({Kernels::number<Kernel>(), Kernel::kRows, Kernel::kKeys, Kernel::kMaxValue, buffers, Kernel::kThreads,
                  static_cast<size_t>(Kernel::shared_bytes(shape.key, shape.value, shape.values_are_keys, buffers))});
}

// Tokens of one sequence that follow each other.
struct Run {
  int first = 0, count = 0;
};

std::vector<Run> runs_of(std::span<const Place> places) {
  std::vector<Run> runs;
  for (size_t i = 0; i < places.size(); ++i) {
    if (i > 0 && places[i].sequence == places[i - 1].sequence && places[i].position == places[i - 1].position + 1)
      ++runs.back().count;
    else
      runs.push_back({static_cast<int>(i), 1});
  }
  return runs;
}

}  // namespace

size_t AttentionPlan::partial_numbers(const AttentionShape& shape) const {
  return partial_scales(shape) * static_cast<size_t>(shape.value);
}

size_t AttentionPlan::partial_scales(const AttentionShape& shape) const {
  return splits > 1 ? static_cast<size_t>(tokens) * static_cast<size_t>(shape.heads) * static_cast<size_t>(splits) : 0;
}

Result<AttentionPlan> attention_plan(const AttentionShape& shape, std::span<const Place> places, int longest,
                                     const DeviceInfo& device, bool alike) {
  if (shape.kv_heads < 1 || shape.heads < 1 || shape.heads % shape.kv_heads != 0 || shape.key < 8 || shape.key % 8 != 0 ||
      shape.value < 8 || shape.value % 8 != 0 || (shape.values_are_keys && shape.value > shape.key))
    return Status(StatusCode::unsupported,
                  fmt::format("attention of {} heads with {} of keys of {} and values of {} numbers on a GPU: run the model on the CPU",
                              shape.heads, shape.kv_heads, shape.key, shape.value));
  const int group = shape.heads / shape.kv_heads;
  const std::vector<Run> runs = runs_of(places);
  int most_rows = 0;
  for (const Run& run : runs) most_rows = std::max(most_rows, alike ? 1 : run.count * group);

  // The first that fits, those for many rows first where there are many.
  std::vector<Candidate> candidates;
  if (most_rows > 32 && shape.key <= kWideKey) add_candidates<ManyRows>(shape, candidates);
  if (shape.value > ManyRows::kMaxValue || shape.key > kWideKey) {
    if (most_rows > 32) add_candidates<ManyWideRows>(shape, candidates);
    if (most_rows > 16) add_candidates<SomeWideRows>(shape, candidates);
  }
  add_candidates<FewRows>(shape, candidates);
  add_candidates<FewWideRows>(shape, candidates);
  const auto chosen = std::find_if(candidates.begin(), candidates.end(), [&](const Candidate& c) {
    return shape.value <= c.max_value && c.shared_bytes <= device.shared_bytes;
  });
  if (chosen == candidates.end())
    return Status(StatusCode::unsupported,
                  fmt::format("attention with keys of {} and values of {} numbers on a GPU whose blocks have {} bytes of shared "
                              "memory: run the model on the CPU", shape.key, shape.value, device.shared_bytes));

  AttentionPlan plan;
  plan.kernel = chosen->kernel, plan.threads = chosen->threads;
  plan.shared_bytes = chosen->shared_bytes, plan.buffers = chosen->buffers;
  plan.tokens = static_cast<int>(places.size()), plan.kv_heads = shape.kv_heads;
  const int together = std::max(1, chosen->rows / group);
  for (const Run& run : runs)
    for (int t = 0; t < run.count; t += together)
      for (int h = 0; h < group; h += chosen->rows)
        plan.tiles.push_back({run.first + t, std::min(together, run.count - t), h, std::min(chosen->rows, group - h)});
  if (plan.tiles.size() > kMaxTiles)
    return Status(StatusCode::limit_exceeded,
                  fmt::format("{} tokens at once on a GPU: use smaller batches", places.size()));
  // The last of a prompt see most keys: they had better not begin last.
  std::reverse(plan.tiles.begin(), plan.tiles.end());

  if (alike) {
    // Every context is cut at the same places, and put together: one that is not cut is rounded otherwise.
    plan.split_keys = kAlikeKeys;
    plan.splits = std::max(2, divide_up(longest, kAlikeKeys));
    return plan;
  }

  // All keys that tiles see, divided among the blocks that run at once; at least two fetches' worth for each.
  int64_t keys = 0;
  for (const QueryTile& tile : plan.tiles)
    keys += places[static_cast<size_t>(tile.first_token + tile.tokens - 1)].position + 1;
  const int64_t blocks = std::max(1, device.multiprocessors) * kBlocksAtOnce;
  const int least = 2 * chosen->keys;
  const int share = static_cast<int>(
      std::clamp<int64_t>((keys * shape.kv_heads + blocks - 1) / blocks, least, std::max(longest, least)));
  // In coarse steps, so that a plan changes seldom while the contexts grow.
  const int step = static_cast<int>(std::bit_floor(static_cast<unsigned>(share))) / 4;
  plan.split_keys = round_up(share, std::max(chosen->keys, step));
  plan.splits = std::clamp(divide_up(longest, plan.split_keys), 1, kMaxSplits);
  return plan;
}

Status attend(Device& device, const AttentionPlan& plan, AttentionArguments arguments, const Rounded& rounded) {
  if (plan.tiles.empty()) return {};
  arguments.splits = plan.splits, arguments.split_keys = plan.split_keys, arguments.buffers = plan.buffers;
  const Grid grid{static_cast<unsigned>(plan.splits), static_cast<unsigned>(plan.kv_heads),
                  static_cast<unsigned>(plan.tiles.size())};
  WENQU_RETURN_IF_ERROR(
      device.launch({plan.kernel, grid, plan.threads, plan.shared_bytes, &arguments, sizeof arguments}));
  if (plan.splits == 1) {
    if (!rounded.q) return {};
    return launch<RoundRows>(device,
                             {static_cast<unsigned>(plan.tokens * arguments.row_heads),
                              static_cast<unsigned>(divide_up(arguments.value, RoundRows::kBlocks * kBlock))},
                             {arguments.out, arguments.value, arguments.value, rounded});
  }
  const int rows = plan.tokens * arguments.heads;
  return launch<CombineSplits>(
      device,
      {static_cast<unsigned>(divide_up(rows, CombineSplits::kRows)),
       static_cast<unsigned>(divide_up(arguments.value, CombineSplits::kColumns))},
      {arguments.partial, arguments.partial_scale, arguments.out, rows, plan.splits, arguments.value, arguments.heads, arguments.row_heads, rounded});
}

}  // namespace wenqu::engine::cuda
