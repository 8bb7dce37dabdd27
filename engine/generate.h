// Decodes tokens from a timeline, one at a time, into a sink that may stop it.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "engine/sampler/sampler.h"
#include "engine/timeline.h"

namespace wenqu::engine {

struct GenerateOptions {
  size_t max_tokens = 1024;
};

enum class StopReason {
  end_of_turn,   // the model ended its turn
  max_tokens,
  context_full,
  sink,          // the sink returned false
};

struct GeneratedToken {
  TokenId id;
  // Whole UTF-8 characters that this token completed, maybe none. Control tokens are spelled here
  // ("</think>"), so that a parser of thoughts sees them; `control` tells them from plain text.
  std::string_view text;
  bool control;
};

// Return false to stop after this token.
using TokenSink = std::function<bool(const GeneratedToken&)>;

struct GenerateResult {
  StopReason reason = StopReason::end_of_turn;
  size_t tokens = 0;
};

// REQUIRES: timeline.logits() is not empty. The tokens told to the sink, but for one that ends the
// turn, are appended to the timeline. Errors: those of Timeline::append and Sampler::sample.
Result<GenerateResult> generate(Timeline& timeline, Sampler& sampler, const GenerateOptions& options,
                                const TokenSink& sink, const CancelToken& cancel);

}  // namespace wenqu::engine
