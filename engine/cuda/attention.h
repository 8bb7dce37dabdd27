// Which of the attention kernels a batch gets, and in what pieces. A plan is made once for a batch and serves all
// layers; it stays right as the sequences grow, as long as the batch has as many tokens of each.
#pragma once

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
  int kernel = 0;                 // its number in kernel_list.h
  unsigned threads = 0;
  size_t shared_bytes = 0;
  int tokens = 0, kv_heads = 0;
  int splits = 1, split_keys = 0, buffers = 1;
  std::vector<QueryTile> tiles;   // to be uploaded, for AttentionArguments::tiles

  // Numbers of AttentionArguments::partial and ::partial_scale; 0: not wanted.
  size_t partial_numbers(const AttentionShape& shape) const;
  size_t partial_scales(const AttentionShape& shape) const;
};

// The batch's tokens stand in the order of their sequences, and of their positions within one. `longest`: tokens that
// any of them sees, now or while the plan is used; it decides how often a context is split. `alike`: a row's result is the same
// whatever rows are beside it, and takes longer.
// Errors: unsupported, for rows that the kernels cannot read; limit_exceeded, for more tokens than a grid has blocks.
Result<AttentionPlan> attention_plan(const AttentionShape& shape, std::span<const Place> places, int longest,
                                     const DeviceInfo& device, bool alike = false);

// Launches what the plan says; the arguments' `splits`, `split_keys` and `buffers` are the plan's. rounded: where
// [tokens][row_heads] results are put rounded too, if anywhere; values must be multiples of 32 numbers then.
Status attend(Device& device, const AttentionPlan& plan, AttentionArguments arguments, const Rounded& rounded = {});

}  // namespace wenqu::engine::cuda
