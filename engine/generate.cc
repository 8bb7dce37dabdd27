#include "engine/generate.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/utf8.h"
#include "engine/runtime.h"
#include "engine/stop_text.h"

namespace wenqu::engine {
namespace {

// Appends the token that was chosen, with a draft behind it when one pays.
Status append_chosen(Timeline& timeline, TokenId token, size_t left, Drafter& drafter, const TopRequest* request, const CancelToken& cancel,
                     GenerateResult& result) {
  drafter.push(token);
  if (const std::span<const TokenId> ahead = timeline.read_ahead(); !ahead.empty() && ahead.front() == token) {
    WENQU_RETURN_IF_ERROR(timeline.append({&token, 1}, cancel, {}, request));
    ++result.accepted;
    return {};
  }
  // Sessions that decode share a batch whose size drafts have been judged by.
  const Runtime& runtime = timeline.model().runtime();
  const size_t share = BatchTimes::kMost / std::max<size_t>(1, runtime.queue.decoding());
  std::span<const TokenId> draft = drafter.draft(std::min(left, std::max<size_t>(1, share)) - 1);
  // Behind the end of a turn nothing is chosen.
  const auto end = std::find_if(draft.begin(), draft.end(), [&](TokenId id) { return runtime.tokenizer->is_end_of_generation(id); });
  draft = draft.first(static_cast<size_t>(end - draft.begin()));
  const auto begun = std::chrono::steady_clock::now();
  WENQU_RETURN_IF_ERROR(timeline.append_with_draft(token, draft, cancel, request));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  const size_t drafted = timeline.read_ahead().size();
  drafter.took(1 + drafted, took.count());
  result.drafted += drafted;
  return {};
}

// From the best logits where these are enough, and from all where they are not.
Result<TokenId> choose(Timeline& timeline, Sampler& sampler, const TopRequest* request, size_t tokens, const SamplingHistory& history,
                       const CancelToken& cancel) {
  if (const TopLogits* top = timeline.top()) {
    if (request && sampler.enough(*top)) return sampler.sample_from(*top);
    WENQU_RETURN_IF_ERROR(timeline.recall_logits(cancel));
  }
  return sampler.sample(timeline.logits().first(std::min(timeline.logits().size(), tokens)), history);
}

}  // namespace

Drafter make_drafter(const Model& model, const DraftOptions& options) {
  const ModelInfo& info = model.info();
  return {options, {info.active_bytes, info.active_expert_bytes, info.experts, info.experts_used}};
}

Result<GenerateResult> generate(Timeline& timeline, Sampler& sampler, const GenerateOptions& options,
                                const TokenSink& sink, const CancelToken& cancel) {
  const Tokenizer& tokenizer = timeline.model().tokenizer();
  const size_t prompt = timeline.tokens().size();
  Utf8Stream characters;
  StopText stop(options.stop);
  GenerateResult result;
  TokenId id = 0;
  if (options.drafter) options.drafter->follow(timeline.tokens());
  // Rows of the output matrix beyond the vocabulary are padding and stand for no token.
  std::optional<TopRequest> best_only = options.top_log_probabilities < 0 ? sampler.top_request() : std::nullopt;
  if (best_only) best_only->numbers = tokenizer.size();
  const TopRequest* const request = best_only ? &*best_only : nullptr;
  const auto finish = [&](StopReason reason) {
    result.reason = reason;
    if (const std::string rest = stop.finish(); !rest.empty() && !sink({id, rest, false})) result.reason = StopReason::sink;
    return result;
  };
  // What is left of a character is told with the control token behind it; when the generation ends amid one, it is dropped.
  while (result.tokens < options.max_tokens) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    const SamplingHistory history{timeline.tokens().first(prompt), timeline.tokens().subspan(prompt)};
    WENQU_ASSIGN_OR_RETURN(const TokenId next, choose(timeline, sampler, request, tokenizer.size(), history, cancel));
    if (tokenizer.is_end_of_generation(next)) return finish(StopReason::end_of_turn);
    std::vector<TokenProbability> probabilities;
    if (options.top_log_probabilities >= 0) {
      WENQU_RETURN_IF_ERROR(timeline.recall_logits(cancel));
      const std::span<const float> logits = timeline.logits().first(std::min(timeline.logits().size(), tokenizer.size()));
      probabilities = log_probabilities(logits, next, static_cast<size_t>(options.top_log_probabilities));
    }
    const Status appended = options.drafter ? append_chosen(timeline, next, options.max_tokens - result.tokens, *options.drafter, request, cancel, result)
                                            : timeline.append({&next, 1}, cancel, {}, request);
    if (appended.code() == StatusCode::limit_exceeded) return finish(StopReason::context_full);
    WENQU_RETURN_IF_ERROR(appended);
    id = next;
    ++result.tokens;
    const bool control = tokenizer.is_control(id);
    const std::string bytes = tokenizer.decode(id, true);
    std::string text;
    if (control) {
      // A control token never continues a character, nor a stop string.
      text = stop.push(characters.finish()) + stop.finish();
      if (!stop.stopped()) text += bytes;
    } else {
      text = stop.push(characters.push(bytes));
    }
    if (!sink({id, text, control, probabilities})) {
      result.reason = StopReason::sink;
      return result;
    }
    if (stop.stopped()) return finish(StopReason::stop_string);
  }
  return finish(StopReason::max_tokens);
}

}  // namespace wenqu::engine
