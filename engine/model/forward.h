// The forward pass: tokens through all layers, as the papers' figures show it.
//
//   h = embedding[token]
//   for each layer: h += attention(norm(h)); h += feed_forward(norm(h))
//   logits = output * norm(h)
//
// The residual stream h is F32, as are the router and all accumulators. What a token gives does not depend
// on the number of threads nor on the other sequences of its batch, and in a deterministic sequence not on the
// tokens beside it either; else MLA takes the form that costs the sequence less, and the forms differ in their
// rounding.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/cache/kv_cache.h"
#include "engine/model/config.h"
#include "engine/model/weights.h"
#include "engine/ops/compute.h"
#include "engine/sampler/top_logits.h"
#include "engine/tokenizer/tokenizer.h"

namespace wenqu::engine {

// Tokens of a long prompt that are read at once: enough that unpacking weights is shared well, few enough
// that a batch's rows stay small.
inline constexpr size_t kMaxBatch = 512;

// Tokens of a batch that runs between two layers of another.
inline constexpr size_t kMaxUrgent = 32;

KvShape kv_shape(const Config& config, KvType type);

// Bytes that a batch of `tokens` needs while it runs on so many threads.
size_t scratch_bytes(const Config& config, size_t tokens, size_t threads);

// Bytes that a session keeps beside its KV cache: the logits after its last token, and those that replace them.
inline size_t session_logits_bytes(const Config& config) { return 2 * config.vocabulary * sizeof(float); }

// The next tokens of one line of tokens.
struct Sequence {
  std::span<const TokenId> tokens;   // ids below the vocabulary
  size_t position = 0;               // of the first; the cache has room for position + tokens
  KvCache* cache = nullptr;
  enum class Logits { none, last, all };
  Logits wanted = Logits::last;      // of which tokens
  bool deterministic = false;        // what a token gives does not depend on the tokens beside it
  std::vector<float>* logits = nullptr;   // the logits are appended here
  // Whoever computes on a device may append the best of the wanted logits to `top` in place of all of them to `logits`,
  // where it finds them enough for every wanted token.
  const TopRequest* request = nullptr;
  std::vector<TopLogits>* top = nullptr;
  std::vector<float>* state = nullptr;    // the last token's state behind the output norm is appended here, if wanted
};

// Called before each layer, by the thread that runs the pass and while none of its loops runs: what is urgent may use
// the compute threads then, another pass over other caches among it. Must not throw.
using BeforeLayer = std::function<void()>;

// Takes sequences with different caches of the same shape, kMaxBatch tokens or fewer in all, through the model
// together, so that the weights are read once for all of them. Errors: cancelled, deadline_exceeded; the
// cache rows of the batch are undefined then.
Status forward(const ops::Compute& compute, const Config& config, const Weights& weights, std::span<const Sequence> batch,
               const BeforeLayer& before_layer = {});

// The same through the model's first `layers` layers alone: `states` become those behind them, [tokens][embedding] in the order
// of the batch, and there are no logits.
Status forward_first(const ops::Compute& compute, const Config& config, const Weights& weights, std::span<const Sequence> batch, size_t layers,
                     std::vector<float>& states);

}  // namespace wenqu::engine
