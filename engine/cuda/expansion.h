// Latent attention in its expanded form (engine/ops/latent_attention.h) on a device: which sequences take it, and in
// what pieces. Keys and values of some heads at a time are made in scratch and attended to there, so that the scratch
// stays small however many heads a model has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/cuda/attention.h"
#include "engine/cuda/device.h"
#include "engine/cuda/kernels/latents.h"
#include "engine/cuda/kernels/matvec.h"
#include "engine/gguf/type.h"

namespace wenqu::engine::cuda {

struct LatentShape {
  int heads = 0;
  int latent = 0, rope = 0;   // of a cached row
  int nope = 0, value = 0;    // of a head's expanded key, beside `rope`, and of its value
};

// Whether the expanded form takes fewer operations for `tokens` queries behind `position` tokens, and can be had.
bool expansion_pays(const LatentShape& shape, size_t position, size_t tokens);

// Scratch for one head's matrices, and its keys and values for `pages` pages of tokens.
size_t expansion_bytes(const LatentShape& shape, size_t pages);

struct ExpansionPlan {
  int heads = 0;                      // at a time
  std::vector<LatentTile> tiles;      // to be uploaded, as are the two that follow
  std::vector<std::byte*> pages;      // in the scratch
  std::vector<int32_t> first_page;    // [sequences] of the batch; of those that are not expanded, anything
  AttentionPlan attention;            // of `heads` heads

  AttentionShape shape(const LatentShape& latents) const {
    return {heads, heads, latents.nope + latents.rope, latents.value, false};
  }
};

// `places` as attention_plan() takes them, of those sequences alone that are expanded; `sequences`: how many the batch
// has in all; `partial_room` as there. Errors: limit_exceeded, where the scratch has no room for one head; those of attention_plan().
Result<ExpansionPlan> expansion_plan(const LatentShape& shape, std::span<const Place> places, size_t sequences, std::byte* scratch,
                                     size_t scratch_bytes, const DeviceInfo& device, size_t partial_room = kMostPartial);

// A head's matrices: k_b as [latent][nope], v_b as [value][latent].
struct LatentMatrices {
  Stack k_b, v_b;
  gguf::Type k_type = gguf::Type::f32, v_type = gguf::Type::f32;
};

// What of a plan lies on the device.
struct ExpansionTables {
  const LatentTile* tiles = nullptr;
  std::byte* const* pages = nullptr;
  const int32_t* first_page = nullptr;
};

// Attention of the plan's tokens. arguments: queries [tokens][heads][nope + rope], turned to their positions, out
// [tokens][heads][value], partial sums, the attention plan's tiles, places, scale; its cache is that of the latents.
// Errors: what Device::launch() gives.
Status attend_expanded(Device& device, const ExpansionPlan& plan, const LatentShape& shape, const LatentMatrices& matrices,
                       const ExpansionTables& tables, std::byte* scratch, AttentionArguments arguments);

}  // namespace wenqu::engine::cuda
