#include "sdk/assistant/native_generator.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <random>

#include "engine/generate.h"
#include "engine/timeline.h"
#include "sdk/assistant/prompt.h"
#include "sdk/assistant/thought_parser.h"

namespace wenqu::assistant {
namespace {

using engine::Piece;
using engine::TokenId;

// Closes a thought in the model's own form.
constexpr std::string_view kCloseThinking = "\n</think>\n\n";

class NativeGeneration : public Generation {
 public:
  NativeGeneration(std::shared_ptr<const engine::Model> model, std::unique_ptr<engine::Timeline> timeline,
                   engine::Sampler sampler, std::optional<engine::Drafter> drafter, const GenerationTask& task,
                   const engine::RenderedChat& rendered, PromptRecord prompt, bool truncated)
      : model_(std::move(model)),
        timeline_(std::move(timeline)),
        sampler_(std::move(sampler)),
        drafter_(std::move(drafter)),
        max_thinking_(task.request->max_thinking_tokens),
        max_answer_(task.request->max_answer_tokens),
        language_(task.language),
        prompt_(std::move(prompt)),
        truncated_(truncated),
        pending_(model_->tokenizer().encode(std::span<const Piece>(rendered.pieces))),
        parser_(rendered.starts_in_thinking) {}

  Result<GenerationEnd> run(GenerationSink& sink, const CancelToken& cancel) override {
    if (truncated_) {
      truncated_ = false;
      sink.on_notice({"context_truncated", "not every passage found fits into the prompt: the least relevant are left out"});
    }
    for (;;) {
      if (!pending_.empty()) {
        WENQU_ASSIGN_OR_RETURN(const bool go_on, prefill(sink, cancel));
        if (!go_on) return GenerationEnd::paused;
      }
      if (parser_.in_thinking() && thinking_left() == 0) {
        if (!end_search_line(sink)) return GenerationEnd::paused;
        sink.on_notice({"thinking_budget_hit", "the thinking used up its budget and was closed"});
        if (!close_thinking(sink)) return GenerationEnd::paused;
        continue;
      }
      bool paused = false;
      const bool began_thinking = parser_.in_thinking();
      const size_t budget = began_thinking ? thinking_left()
                                           : max_answer_ - std::min(max_answer_, answer_tokens_);
      if (budget == 0) {
        if (!tell(sink, parser_.finish())) return GenerationEnd::paused;
        return GenerationEnd::max_tokens;
      }
      const auto on_token = [&](const engine::GeneratedToken& token) {
        ++(parser_.in_thinking() ? thinking_tokens_ : answer_tokens_);
        if (!tell(sink, parser_.push(token.text))) paused = true;
        return !paused && parser_.in_thinking() == began_thinking;
      };
      WENQU_ASSIGN_OR_RETURN(const engine::GenerateResult result,
                             engine::generate(*timeline_, sampler_, {.max_tokens = budget, .drafter = drafter_ ? &*drafter_ : nullptr},
                                              on_token, cancel));
      drafted_tokens_ += result.drafted;
      accepted_tokens_ += result.accepted;
      if (paused) return GenerationEnd::paused;
      if (result.reason == engine::StopReason::end_of_turn && parser_.in_thinking()) {
        // A turn that ends inside the thinking has no answer yet: close the thought and ask for it.
        if (!end_search_line(sink) || !close_thinking(sink)) return GenerationEnd::paused;
        continue;
      }
      if (result.reason == engine::StopReason::end_of_turn) {
        if (!tell(sink, parser_.finish())) return GenerationEnd::paused;
        return GenerationEnd::finished;
      }
      if (result.reason == engine::StopReason::context_full) {
        tell(sink, parser_.finish());
        return GenerationEnd::max_tokens;
      }
    }
  }

  Status add_evidence(std::string_view query, std::span<const Evidence* const> found, const CancelToken&) override {
    // Beside what the answer takes; the last ones are left out first, and where nothing fits, nothing is said.
    const size_t room = room_before_answer();
    for (size_t count = found.size() + 1; count-- > 0;) {
      const std::vector<TokenId> tokens = model_->tokenizer().encode(compose_found(language_, query, found.first(count)));
      if (tokens.size() > room) continue;
      pending_.insert(pending_.end(), tokens.begin(), tokens.end());
      break;
    }
    return {};
  }

  Usage usage() const override {
    Usage usage;
    usage.input_tokens = input_tokens_;
    usage.cached_tokens = timeline_->reused_tokens();
    usage.reasoning_tokens = thinking_tokens_;
    usage.output_tokens = thinking_tokens_ + answer_tokens_;
    usage.drafted_tokens = drafted_tokens_;
    usage.accepted_tokens = accepted_tokens_;
    return usage;
  }

  PromptRecord prompt() const override { return prompt_; }

 private:
  // False when the sink asked to stop.
  Result<bool> prefill(GenerationSink& sink, const CancelToken& cancel) {
    CancelSource stop(cancel, std::nullopt);
    bool stopped = false;
    const auto progress = [&](size_t done, size_t total) {
      if (sink.on_prefill(done, total)) return;
      stopped = true;
      stop.cancel();
    };
    const Status status = timeline_->append(pending_, stop.token(), progress);
    if (stopped) return false;
    if (!status) return status;
    input_tokens_ += pending_.size();
    pending_.clear();
    return true;
  }

  // Tokens of the context that are neither taken nor kept for the answer.
  size_t room_before_answer() const {
    constexpr size_t kClosing = 16;   // kCloseThinking's
    const size_t context = model_->info().context, taken = timeline_->tokens().size() + pending_.size();
    const size_t kept = std::min(max_answer_, context / 4) + kClosing;
    return context - std::min(context, taken + kept);
  }
  size_t thinking_left() const { return std::min(max_thinking_ - std::min(max_thinking_, thinking_tokens_), room_before_answer()); }

  // A thought that ends with a search ends with its line too, so that what is found comes before the thought is closed.
  bool end_search_line(GenerationSink& sink) {
    return search_request(line_).empty() || tell(sink, {.thinking = "\n"});
  }

  bool close_thinking(GenerationSink& sink) {
    const std::vector<TokenId> tokens = model_->tokenizer().encode_control(kCloseThinking);
    pending_.insert(pending_.end(), tokens.begin(), tokens.end());
    return tell(sink, parser_.push(kCloseThinking));
  }

  bool tell(GenerationSink& sink, const ThoughtParser::Part& part) {
    bool go_on = true;
    for (const char c : part.thinking) {
      if (c == '\n') line_.clear();
      else line_ += c;
    }
    if (!part.thinking.empty()) go_on = sink.on_thinking(part.thinking);
    if (part.thinking_ended) go_on = sink.on_thinking_end() && go_on;
    if (!part.answer.empty()) go_on = sink.on_answer(part.answer) && go_on;
    return go_on;
  }

  std::shared_ptr<const engine::Model> model_;
  std::unique_ptr<engine::Timeline> timeline_;
  engine::Sampler sampler_;
  std::optional<engine::Drafter> drafter_;
  size_t max_thinking_;
  size_t max_answer_;
  Language language_;
  PromptRecord prompt_;
  bool truncated_;
  std::vector<TokenId> pending_;   // to be read before the next token is decoded
  ThoughtParser parser_;
  std::string line_;               // of the thinking, the last
  size_t input_tokens_ = 0;
  size_t thinking_tokens_ = 0;
  size_t answer_tokens_ = 0;
  size_t drafted_tokens_ = 0;
  size_t accepted_tokens_ = 0;
};

}  // namespace

NativeGenerator::NativeGenerator(std::shared_ptr<const engine::Model> model, engine::ChatTemplate chat,
                                 const engine::TimelineOptions& timeline, const engine::DraftOptions& drafts)
    : model_(std::move(model)), chat_(chat), timeline_(timeline), drafts_(drafts) {
  const engine::ModelInfo& info = model_->info();
  name_ = info.name.empty() ? std::filesystem::path(info.path).filename().string() : info.name;
}

Result<std::shared_ptr<NativeGenerator>> NativeGenerator::create(std::shared_ptr<const engine::Model> model,
                                                                 const engine::TimelineOptions& timeline,
                                                                 const engine::DraftOptions& drafts) {
  WENQU_ASSIGN_OR_RETURN(const engine::ChatTemplate chat, model->chat_template());
  return std::shared_ptr<NativeGenerator>(new NativeGenerator(std::move(model), chat, timeline, drafts));
}

Result<std::unique_ptr<Generation>> NativeGenerator::start(const GenerationTask& task) {
  const AskRequest& request = *task.request;
  const size_t context = model_->info().context;
  const size_t reserved = request.max_answer_tokens + (request.mode == Mode::deep ? request.max_thinking_tokens : 0);
  const size_t room = std::max(context - std::min(context, reserved), context / 2);   // in a short context thoughts are shorter
  const auto count_tokens = [&](std::string_view text) { return model_->tokenizer().encode(text).size(); };
  const size_t most = std::min(request.max_prompt_tokens, room);
  // A question must not fail for what was before it, however long it is.
  const EarlierPrompt earlier = compose_earlier(task.earlier, most - std::min(most, count_tokens(request.question)), count_tokens);
  Prompt prompt = compose_prompt(task, most - std::min(most, earlier.tokens), count_tokens, earlier.known);
  std::vector<engine::ChatMessage> messages;
  for (const auto& [question, answer] : earlier.exchanges) {
    messages.push_back({engine::ChatMessage::Role::user, question});
    messages.push_back({engine::ChatMessage::Role::assistant, answer});
  }
  messages.push_back({engine::ChatMessage::Role::user, prompt.user_message});
  const bool think = request.mode == Mode::deep;
  engine::RenderedChat rendered = engine::render_chat(chat_, messages, think);
  if (!think && rendered.starts_in_thinking) {
    // A template that always opens a thought: close it at once, for a quick answer.
    rendered.pieces.push_back(Piece::control(std::string(kCloseThinking)));
    rendered.starts_in_thinking = false;
  }
  WENQU_ASSIGN_OR_RETURN(std::unique_ptr<engine::Timeline> timeline, engine::Timeline::create(model_, timeline_));
  engine::SamplingOptions sampling;
  sampling.temperature = request.temperature;
  sampling.top_p = request.top_p;
  sampling.seed = request.seed;
  if (sampling.seed == 0) {
    std::random_device random;
    sampling.seed = (static_cast<uint64_t>(random()) << 32) | random();
  }
  WENQU_ASSIGN_OR_RETURN(engine::Sampler sampler, engine::Sampler::create(sampling));
  std::optional<engine::Drafter> drafter;
  if (drafts_.max_tokens > 0) drafter.emplace(engine::make_drafter(*model_, drafts_));
  return std::unique_ptr<Generation>(std::make_unique<NativeGeneration>(
      model_, std::move(timeline), std::move(sampler), std::move(drafter), task, rendered,
      PromptRecord{std::move(prompt.user_message), std::move(prompt.passages), earlier.turns, earlier.with_passages}, prompt.truncated));
}

}  // namespace wenqu::assistant
