// Decodes tokens from a timeline, one at a time, into a sink that may stop it. With a drafter, tokens that will
// probably follow are read together with the one that was chosen; what is chosen stays the same.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/draft/drafter.h"
#include "engine/sampler/log_probability.h"
#include "engine/sampler/sampler.h"
#include "engine/timeline.h"

namespace wenqu::engine {

struct GenerateOptions {
  size_t max_tokens = 1024;
  // Plain text ends before the first of these; control tokens are not looked at.
  std::vector<std::string> stop;
  // With log-probabilities of the token told and of so many most likely ones; below 0: without.
  int top_log_probabilities = -1;
  // Of the timeline's session, kept from call to call; null: no drafts. The same text comes of it as long as a
  // token's logits do not depend on the tokens read beside it, as in dense models and deterministic timelines.
  Drafter* drafter = nullptr;
};

enum class StopReason {
  end_of_turn,   // the model ended its turn
  max_tokens,
  context_full,
  sink,          // the sink returned false
  stop_string,
};

struct GeneratedToken {
  TokenId id;
  // Whole UTF-8 characters that this token completed, maybe none. Control tokens are spelled here
  // ("</think>"), so that a parser of thoughts sees them; `control` tells them from plain text.
  std::string_view text;
  bool control;
  // The token's own, then those of the most likely ones; empty unless asked for.
  std::span<const TokenProbability> log_probabilities = {};
};

// Return false to stop after this token. Text that may begin a stop string is held back and told with a
// later token, or, when generation ends first, in one more call with the last token's id. The beginning of a character
// that the generation does not come to the end of is not told.
using TokenSink = std::function<bool(const GeneratedToken&)>;

struct GenerateResult {
  StopReason reason = StopReason::end_of_turn;
  size_t tokens = 0;
  size_t drafted = 0;    // tokens that were read before it was known whether they are chosen
  size_t accepted = 0;   // of `tokens`: those that were read so
};

// A drafter for the timelines of this model.
Drafter make_drafter(const Model& model, const DraftOptions& options = {});

// The sampler's history is what the timeline holds, as the prompt, and what this call generates.
// REQUIRES: timeline.logits() is not empty, or there is timeline.top(). The tokens told to the sink, but for one that ends the
// turn, are appended to the timeline. Errors: those of Timeline::append and Sampler::sample.
Result<GenerateResult> generate(Timeline& timeline, Sampler& sampler, const GenerateOptions& options,
                                const TokenSink& sink, const CancelToken& cancel);

}  // namespace wenqu::engine
