// One mutable line of tokens that a model has read: its KV cache and the logits after the last one.
//
// A timeline holds its cache in segments (engine/cache), so that runs of tokens can later be shared
// between timelines, saved, and placed at other positions.
// Thread safety: one thread at a time; different timelines of one model may be used at once (their
// forward passes take turns on the model's compute threads).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/model.h"

namespace wenqu::engine {

struct TimelineOptions {
  uint64_t max_tokens = 0;   // 0: the model's trained context
};

// Tokens done of all, after each chunk of a long append (0 first).
using PrefillProgress = std::function<void(size_t done, size_t total)>;

class Timeline {
 public:
  static Result<std::unique_ptr<Timeline>> create(std::shared_ptr<const Model> model,
                                                  const TimelineOptions& options = {});
  ~Timeline();

  // Reads the tokens in chunks, so that a long prompt can be cancelled within one layer of a chunk.
  // On error the timeline is as it was before the call. Errors: invalid_argument (a token id out of
  // range), limit_exceeded (max_tokens), out_of_memory, cancelled, deadline_exceeded.
  Status append(std::span<const TokenId> tokens, const CancelToken& cancel, const PrefillProgress& progress = {});

  // The same, and gives the logits after every token: tokens.size() x vocabulary values.
  Result<std::vector<float>> append_with_logits(std::span<const TokenId> tokens, const CancelToken& cancel);

  // Logits after the last token, `vocabulary` values; empty on a new or truncated timeline.
  std::span<const float> logits() const;

  // Forgets all but the first `size` tokens. Errors: invalid_argument when there are fewer.
  Status truncate(size_t size);

  std::span<const TokenId> tokens() const;
  const Model& model() const;

 private:
  struct State;
  explicit Timeline(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace wenqu::engine
