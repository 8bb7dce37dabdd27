// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1) in its two forms, which give the
// same but for rounding:
//
//   absorbed    a head's query is carried into the latent space, where the cache's rows serve every head
//               as they lie: little to read, much to multiply. For decoding.
//   expanded    a head's keys and values are made of the latents first: to multiply less for each pair of
//               query and key, at a price for each key. For prefill.
#pragma once

#include <cstddef>
#include <span>

#include "engine/cache/kv_cache.h"
#include "engine/cpu/kernels.h"
#include "engine/ops/attention.h"
#include "engine/ops/matmul.h"

namespace wenqu::engine::ops {

struct LatentShape {
  size_t latent = 0;
  size_t nope = 0, rope = 0;   // of a head's query: unrotated, then rotated
  size_t value = 0;
  float scale = 1;
};

// Whether the expanded form takes less time for `tokens` queries behind `position` tokens.
bool expansion_pays(const LatentShape& shape, size_t position, size_t tokens);

// One head's attention in the expanded form. k_b: [head] latent x nope, v_b: [head] value x latent. Queries are
// [nope + rope], outputs [value].
void attend_expanded(const cpu::Kernels& kernels, const KvCache& cache, size_t layer, size_t head, const Matrix& k_b,
                     const Matrix& v_b, const LatentShape& shape, std::span<const AttentionQuery> queries);

}  // namespace wenqu::engine::ops
