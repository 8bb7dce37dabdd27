#include "engine/cuda/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "engine/cuda/kernel_list.h"

namespace wenqu::engine::cuda {
namespace {

constexpr int kMaxSplits = 128;         // what they leave to be put together costs too
constexpr int kMaxTiles = 65535;           // blocks of a grid's third dimension
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

// Runs in pieces of a tile's tokens.
std::vector<Run> pieces_of(std::span<const Run> runs, int together) {
  std::vector<Run> pieces;
  for (const Run& run : runs)
    for (int t = 0; t < run.count; t += together) pieces.push_back({run.first + t, std::min(together, run.count - t)});
  return pieces;
}

// Every context is cut at the same places, and put together: one that is not cut is rounded otherwise.
int alike_splits(int longest) { return std::max(2, divide_up(longest, kAlikeKeys)); }

Status take_turn(Device& device, const AttentionPlan& plan, const AttentionPlan::Turn& turn, AttentionArguments arguments, Rounded rounded) {
  const ptrdiff_t rows_before = ptrdiff_t{turn.first_token} * arguments.row_heads;
  arguments.queries += rows_before * arguments.cache.key, arguments.out += rows_before * arguments.value;
  arguments.places += turn.first_token, arguments.tiles += turn.first_tile;
  arguments.splits = turn.splits;
  if (rounded.q) rounded.q += rows_before * rounded.stride, rounded.scales += rows_before * (rounded.stride / kBlock);
  const Grid grid{static_cast<unsigned>(turn.splits), static_cast<unsigned>(plan.kv_heads), static_cast<unsigned>(turn.tiles)};
  WENQU_RETURN_IF_ERROR(
      device.launch({plan.kernel, grid, plan.threads, plan.shared_bytes, &arguments, sizeof arguments}));
  if (turn.splits == 1) {
    if (!rounded.q) return {};
    return launch<RoundRows>(device,
                             {static_cast<unsigned>(turn.tokens * arguments.row_heads),
                              static_cast<unsigned>(divide_up(arguments.value, RoundRows::kBlocks * kBlock))},
                             {arguments.out, arguments.value, arguments.value, rounded});
  }
  const int rows = turn.tokens * arguments.heads;
  return launch<CombineSplits>(
      device,
      {static_cast<unsigned>(divide_up(rows, CombineSplits::kRows)),
       static_cast<unsigned>(divide_up(arguments.value, CombineSplits::kColumns))},
      {arguments.partial, arguments.partial_scale, arguments.out, rows, turn.splits, arguments.value, arguments.heads, arguments.row_heads, rounded});
}

}  // namespace

size_t AttentionPlan::partial_numbers(const AttentionShape& shape) const {
  return partial_scales(shape) * static_cast<size_t>(shape.value);
}

size_t AttentionPlan::partial_scales(const AttentionShape& shape) const {
  size_t most = 0;
  for (const Turn& turn : turns)
    if (turn.splits > 1) most = std::max(most, static_cast<size_t>(turn.tokens) * static_cast<size_t>(turn.splits));
  return most * static_cast<size_t>(shape.heads);
}

size_t partial_room(const AttentionShape& shape, size_t tokens, size_t context) {
  constexpr size_t kLeastKeys = 2 * std::min({ManyRows::kKeys, ManyWideRows::kKeys, SomeWideRows::kKeys, FewRows::kKeys, FewWideRows::kKeys});
  const size_t longest = std::bit_ceil(context);
  const size_t splits = std::max({std::min<size_t>(kMaxSplits, longest / kLeastKeys), longest / kAlikeKeys, size_t{2}});
  constexpr size_t kTokens = 64;   // that decode together; more of them are blocks enough with few splits
  return std::min(kMostPartial, std::min(tokens, kTokens) * splits * static_cast<size_t>(shape.heads) * static_cast<size_t>(shape.value));
}

Result<AttentionPlan> attention_plan(const AttentionShape& shape, std::span<const Place> places, int longest,
                                     const DeviceInfo& device, bool alike, size_t room) {
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
  plan.kv_heads = shape.kv_heads;
  // Tokens, each times its splits, whose partial sums there is room for.
  const int64_t most = static_cast<int64_t>(room) / (int64_t{shape.heads} * shape.value);
  int64_t together = std::max(1, chosen->rows / group);
  if (alike) {
    together = std::min(together, most / alike_splits(longest));
    if (together == 0)
      return Status(StatusCode::limit_exceeded,
                    fmt::format("a deterministic session of {} tokens leaves more partial sums than the {} MiB that are kept for them on a GPU: use a "
                                "smaller context, or a session that is not deterministic", longest, (room * sizeof(float)) >> 20));
  }
  const std::vector<Run> pieces = pieces_of(runs, static_cast<int>(together));
  const int tiles_of_piece = divide_up(group, chosen->rows);
  const auto seen_by = [&](const Run& piece) { return places[static_cast<size_t>(piece.first + piece.count - 1)].position + 1; };

  if (alike) {
    plan.split_keys = kAlikeKeys;
  } else {
    // All keys that tiles see, divided among the blocks that run at once; at least two fetches' worth for each.
    int64_t keys = 0;
    for (const Run& piece : pieces) keys += int64_t{seen_by(piece)} * tiles_of_piece;
    const int64_t blocks = std::max(1, device.multiprocessors) * kBlocksAtOnce;
    const int least = 2 * chosen->keys;
    const int share = static_cast<int>(
        std::clamp<int64_t>((keys * shape.kv_heads + blocks - 1) / blocks, least, std::max(longest, least)));
    // In coarse steps, so that a plan changes seldom while the contexts grow.
    const int step = static_cast<int>(std::bit_floor(static_cast<unsigned>(share))) / 4;
    plan.split_keys = round_up(share, std::max(chosen->keys, step));
  }
  const auto splits_of = [&](const Run& piece) {
    const int seen = std::min(longest, static_cast<int>(std::bit_ceil(static_cast<unsigned>(seen_by(piece)))));
    if (alike) return alike_splits(seen);
    return std::clamp(divide_up(seen, plan.split_keys), 1, static_cast<int>(std::clamp<int64_t>(most / piece.count, 1, kMaxSplits)));
  };
  for (const Run& piece : pieces) {
    const int splits = splits_of(piece);
    const auto goes_with = [&](const AttentionPlan::Turn& turn) {
      const int64_t more = std::max(turn.splits, splits);
      return turn.tiles + tiles_of_piece <= kMaxTiles && (more == 1 || (turn.tokens + piece.count) * more <= most);
    };
    if (plan.turns.empty() || !goes_with(plan.turns.back())) plan.turns.push_back({piece.first, 0, static_cast<int>(plan.tiles.size()), 0, 1});
    AttentionPlan::Turn& turn = plan.turns.back();
    for (int h = 0; h < group; h += chosen->rows)
      plan.tiles.push_back({piece.first - turn.first_token, piece.count, h, std::min(chosen->rows, group - h)});
    turn.tokens += piece.count, turn.tiles += tiles_of_piece, turn.splits = std::max(turn.splits, splits);
  }
  // The last of a prompt see most keys: they had better not begin last.
  for (const AttentionPlan::Turn& turn : plan.turns) std::reverse(plan.tiles.begin() + turn.first_tile, plan.tiles.begin() + turn.first_tile + turn.tiles);
  return plan;
}

Status attend(Device& device, const AttentionPlan& plan, AttentionArguments arguments, const Rounded& rounded) {
  arguments.split_keys = plan.split_keys, arguments.buffers = plan.buffers;
  for (const AttentionPlan::Turn& turn : plan.turns) WENQU_RETURN_IF_ERROR(take_turn(device, plan, turn, arguments, rounded));
  return {};
}

}  // namespace wenqu::engine::cuda
