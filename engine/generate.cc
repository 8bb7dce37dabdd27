#include "engine/generate.h"

#include <algorithm>

#include "base/utf8.h"

namespace wenqu::engine {

Result<GenerateResult> generate(Timeline& timeline, Sampler& sampler, const GenerateOptions& options,
                                const TokenSink& sink, const CancelToken& cancel) {
  const Tokenizer& tokenizer = timeline.model().tokenizer();
  Utf8Stream characters;
  GenerateResult result;
  // What is left of a character when the generation ends is told with its last token.
  while (result.tokens < options.max_tokens) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    // Rows of the output matrix beyond the vocabulary are padding and stand for no token.
    const std::span<const float> logits = timeline.logits().first(std::min(timeline.logits().size(), tokenizer.size()));
    WENQU_ASSIGN_OR_RETURN(const TokenId id, sampler.sample(logits));
    if (tokenizer.is_end_of_generation(id)) {
      result.reason = StopReason::end_of_turn;
      return result;
    }
    const TokenId next[] = {id};
    const Status appended = timeline.append(next, cancel);
    if (appended.code() == StatusCode::limit_exceeded) {
      result.reason = StopReason::context_full;
      return result;
    }
    WENQU_RETURN_IF_ERROR(appended);
    ++result.tokens;
    const bool control = tokenizer.is_control(id);
    std::string text;
    if (control) text = characters.finish();   // a control token never continues a character
    const std::string bytes = tokenizer.decode(id, true);
    text += control ? bytes : characters.push(bytes);
    if (!sink({id, text, control})) {
      result.reason = StopReason::sink;
      return result;
    }
  }
  result.reason = StopReason::max_tokens;
  return result;
}

}  // namespace wenqu::engine
