// The forward pass: tokens through all layers, as the papers' figures show it.
//
//   h = embedding[token]
//   for each layer: h += attention(norm(h)); h += feed_forward(norm(h))
//   logits = output * norm(h)
//
// The residual stream h is F32, as are the router and all accumulators. What a token gives does not
// depend on the tokens it shares a batch with, nor on the number of threads.
#pragma once

#include <span>
#include <vector>

#include "base/status.h"
#include "engine/cache/kv_cache.h"
#include "engine/model/config.h"
#include "engine/model/weights.h"
#include "engine/ops/compute.h"
#include "engine/tokenizer/tokenizer.h"

namespace wenqu::engine {

KvShape kv_shape(const Config& config);

// Bytes that a batch of `tokens` needs while it runs.
size_t scratch_bytes(const Config& config, size_t tokens);

struct Batch {
  std::span<const TokenId> tokens;   // ids below the vocabulary
  size_t position = 0;               // of the first; the cache has room for position + tokens
  bool all_logits = false;           // of every token, else of the last
};

// Appends the logits to `logits`. Errors: cancelled, deadline_exceeded; the cache rows of the batch are
// undefined then.
Status forward(const ops::Compute& compute, const Config& config, const Weights& weights, const Batch& batch,
               KvCache& cache, std::vector<float>& logits);

}  // namespace wenqu::engine
