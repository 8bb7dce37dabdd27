// Which of the attention kernels a batch gets, and in what pieces. A plan is made once for a batch and serves all
// layers; it stays right as the sequences grow, as long as the batch has as many tokens of each.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/cuda/device.h"
#include "engine/cuda/kernels/attention.h"

namespace wenqu::engine::cuda {

struct AttentionShape {
  int heads = 0, kv_heads = 0;
  int key = 0, value = 0;
  bool values_are_keys = false;   // absorbed MLA
};

struct AttentionPlan {
  // Tokens that follow each other and are attended to at a time, in the partial sums' memory that the turn before has used.
  struct Turn {
    int first_token = 0, tokens = 0;
    int first_tile = 0, tiles = 0;   // whose tokens count from the turn's first
    int splits = 1;
    auto operator<=>(const Turn&) const = default;
  };
  int kernel = 0;                 // its number in kernel_list.h
  unsigned threads = 0;
  size_t shared_bytes = 0;
  int kv_heads = 0;
  int split_keys = 0, buffers = 1;
  std::vector<Turn> turns;
  std::vector<QueryTile> tiles;   // to be uploaded, for AttentionArguments::tiles

  // Numbers of AttentionArguments::partial and ::partial_scale; 0: not wanted.
  size_t partial_numbers(const AttentionShape& shape) const;
  size_t partial_scales(const AttentionShape& shape) const;
};

// Numbers of partial sums that a device keeps room for: what decoding may want in batches of so many tokens of a model with this
// context, but no more than the most: one long context among many tokens would ask for gigabytes.
constexpr size_t kMostPartial = size_t{32} << 20;   // 128 MiB: many times what blocks that run at once leave
size_t partial_room(const AttentionShape& shape, size_t tokens, size_t context);

// The batch's tokens stand in the order of their sequences, and of their positions within one. `longest`: tokens that
// any of them sees, now or while the plan is used; it decides how often a context is split. `alike`: a row's result is the same
// whatever rows are beside it, and takes longer. `room`: numbers of partial sums that there is memory for; what leaves more is
// attended to in several turns.
// Errors: unsupported, for rows that the kernels cannot read; limit_exceeded, where the room is too small for one row that is to be
// alike.
Result<AttentionPlan> attention_plan(const AttentionShape& shape, std::span<const Place> places, int longest,
                                     const DeviceInfo& device, bool alike = false, size_t room = kMostPartial);

// Launches what the plan says; the arguments' `splits`, `split_keys` and `buffers` are the plan's. rounded: where
// [tokens][row_heads] results are put rounded too, if anywhere; values must be multiples of 32 numbers then.
Status attend(Device& device, const AttentionPlan& plan, AttentionArguments arguments, const Rounded& rounded = {});

}  // namespace wenqu::engine::cuda
