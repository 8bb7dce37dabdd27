#include "engine/generate.h"

#include <algorithm>

#include "base/utf8.h"
#include "engine/stop_text.h"

namespace wenqu::engine {

Result<GenerateResult> generate(Timeline& timeline, Sampler& sampler, const GenerateOptions& options,
                                const TokenSink& sink, const CancelToken& cancel) {
  const Tokenizer& tokenizer = timeline.model().tokenizer();
  const size_t prompt = timeline.tokens().size();
  Utf8Stream characters;
  StopText stop(options.stop);
  GenerateResult result;
  TokenId id = 0;
  const auto finish = [&](StopReason reason) {
    result.reason = reason;
    if (const std::string rest = stop.finish(); !rest.empty() && !sink({id, rest, false})) result.reason = StopReason::sink;
    return result;
  };
  // What is left of a character when the generation ends is told with its last token.
  while (result.tokens < options.max_tokens) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    // Rows of the output matrix beyond the vocabulary are padding and stand for no token.
    const std::span<const float> logits = timeline.logits().first(std::min(timeline.logits().size(), tokenizer.size()));
    const SamplingHistory history{timeline.tokens().first(prompt), timeline.tokens().subspan(prompt)};
    WENQU_ASSIGN_OR_RETURN(const TokenId next, sampler.sample(logits, history));
    if (tokenizer.is_end_of_generation(next)) return finish(StopReason::end_of_turn);
    std::vector<TokenProbability> probabilities;
    if (options.top_log_probabilities >= 0)
      probabilities = log_probabilities(logits, next, static_cast<size_t>(options.top_log_probabilities));
    const Status appended = timeline.append({&next, 1}, cancel);
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
