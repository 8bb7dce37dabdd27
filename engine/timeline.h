// One mutable line of tokens that a model has read: its KV cache and the logits after the last one.
//
// A timeline holds its cache in segments (engine/cache), so that runs of tokens are shared between forks and
// saved, and can later be placed at other positions.
// Thread safety: one thread at a time; different timelines of one model, forks among them, may be used at
// once: what they read at the same time goes through the model in common batches.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/cache/kv_type.h"
#include "engine/model.h"
#include "engine/sampler/top_logits.h"

namespace wenqu::engine {

struct TimelineOptions {
  uint64_t max_tokens = 0;   // 0: the model's trained context
  KvType kv_type = KvType::f16;
  // What a token gives does not depend on how the tokens were divided into calls and batches, to the last
  // bit; prefill of MLA models takes longer. (The number of threads never matters.)
  bool deterministic = false;
  // Takes over what another timeline has read that begins alike, and leaves what it has read to others
  // (engine/prefix_cache).
  bool share_prefixes = true;
};

// Tokens done of all, after each chunk of a long append (0 first).
using PrefillProgress = std::function<void(size_t done, size_t total)>;

class Timeline {
 public:
  // Errors: out_of_memory, here and below when the model's memory budget has no room for what the timeline is to
  // hold; timelines that hold theirs go on.
  static Result<std::unique_ptr<Timeline>> create(std::shared_ptr<const Model> model,
                                                  const TimelineOptions& options = {});
  ~Timeline();

  // Another timeline that has read the same; the two share the cache of what they have in common. Options
  // are the same, but that one that reads alone leaves nothing of it to others. Errors: out_of_memory.
  enum class ForkReads { as_this, alone };
  Result<std::unique_ptr<Timeline>> fork(ForkReads reads = ForkReads::as_this);

  // Keeps tokens, cache and logits in a file, which appears whole or not at all, and brings them back
  // without reading the tokens again. A file belongs to the model (its fingerprint) that wrote it, and
  // brings its KV type and whether it is deterministic; of `options`, max_tokens counts. Errors: of save:
  // not_found, io_error; of restore: not_found, io_error, corrupt (cut short or damaged anywhere),
  // version_mismatch (another model's, or another version's), limit_exceeded (max_tokens), out_of_memory.
  Status save(const std::string& path);
  static Result<std::unique_ptr<Timeline>> restore(std::shared_ptr<const Model> model, const std::string& path,
                                                   const TimelineOptions& options = {});

  // Reads the tokens in chunks, so that a long prompt can be cancelled within one layer of a chunk.
  // On error the timeline is as it was before the call. Errors: invalid_argument (a token id out of
  // range), limit_exceeded (max_tokens), out_of_memory, cancelled, deadline_exceeded.
  // With a request, the best logits may come in place of all, which then need not leave the device: top().
  Status append(std::span<const TokenId> tokens, const CancelToken& cancel, const PrefillProgress& progress = {},
                const TopRequest* request = nullptr);

  // Reads `token` as append() does and, in the same batch, a draft of what may follow it. The timeline holds
  // `token` only; while append() is then given the draft's tokens one by one, they are taken over without being
  // read again, and whatever else comes or changes the timeline makes it forget the rest. What does not fit into
  // the context, or into memory, is left out of the draft. Errors: those of append({token}).
  // The request holds for the draft's tokens too.
  Status append_with_draft(TokenId token, std::span<const TokenId> draft, const CancelToken& cancel, const TopRequest* request = nullptr);
  // What is left of the draft.
  std::span<const TokenId> read_ahead() const;

  // The same as append(), and gives the logits after every token: tokens.size() x vocabulary values.
  Result<std::vector<float>> append_with_logits(std::span<const TokenId> tokens, const CancelToken& cancel);

  // Logits after the last token, `vocabulary` values; empty on a new or truncated timeline, and where there are only the
  // best ones.
  std::span<const float> logits() const;
  // The best of them, where these came in place of all; otherwise nullptr.
  const TopLogits* top() const;
  // Brings all logits where there are only the best, by reading the last token again. On error the timeline is as it was.
  // Errors: those of append().
  Status recall_logits(const CancelToken& cancel);

  // Forgets all but the first `size` tokens. Errors: invalid_argument when there are fewer.
  Status truncate(size_t size);

  std::span<const TokenId> tokens() const;
  const Model& model() const;
  const TimelineOptions& options() const;
  // Of the tokens, those that were taken over from other timelines at the last append to an empty timeline.
  size_t reused_tokens() const;
  // Bytes of the KV cache, what forks share among them.
  uint64_t cache_bytes() const;

 private:
  struct State;
  explicit Timeline(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace wenqu::engine
