#include "engine/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "engine/runtime.h"
#include "engine/timeline_file.h"

namespace wenqu::engine {

struct Timeline::State {
  std::shared_ptr<const Model> model;
  TimelineOptions options;   // max_tokens is the one that counts
  KvCache cache;
  std::vector<TokenId> tokens;
  std::vector<float> logits;   // after the last token

  size_t reused = 0;           // of the first tokens

  ~State() {
    if (!model) return;   // moved from
    model->runtime().queue.leave(this);
    leave_to_others(tokens.size());
  }
  Status append(std::span<const TokenId> more, const CancelToken& cancel, const PrefillProgress& progress,
                std::vector<float>* all);

 private:
  static constexpr size_t kFewTokens = 16;   // not worth keeping

  PrefixKind kind() const { return {options.kv_type, options.deterministic}; }
  // Takes over what is known of the beginning of `prompt`, but for its last token, whose logits are wanted.
  void take_over(std::span<const TokenId> prompt);
  void leave_to_others(size_t read) {
    if (options.share_prefixes && read >= kFewTokens) model->runtime().prefixes.insert(kind(), cache, tokens);
  }
};

void Timeline::State::take_over(std::span<const TokenId> prompt) {
  reused = 0;
  if (!options.share_prefixes || prompt.size() < kFewTokens) return;
  KvCache known = model->runtime().prefixes.find(kind(), cache.shape(), prompt.first(prompt.size() - 1));
  reused = known.size();
  if (reused > 0) cache = std::move(known);
}

Status Timeline::State::append(std::span<const TokenId> more, const CancelToken& cancel, const PrefillProgress& progress,
                               std::vector<float>* all) {
  const Runtime& runtime = model->runtime();
  for (size_t i = 0; i < more.size(); ++i)
    if (more[i] < 0 || static_cast<uint64_t>(more[i]) >= runtime.config.vocabulary)
      return Status(StatusCode::invalid_argument, fmt::format("{} is not below the vocabulary's size of {}", more[i], runtime.config.vocabulary),
                    fmt::format("token {}", i));
  if (more.size() > options.max_tokens - std::min<uint64_t>(options.max_tokens, tokens.size()))
    return Status(StatusCode::limit_exceeded,
                  fmt::format("{} tokens do not fit behind {} into a context of {}", more.size(), tokens.size(), options.max_tokens));
  const size_t before = tokens.size();
  Status status;
  std::vector<float> last;
  size_t known = 0;   // of `more`
  try {
    tokens.reserve(before + more.size());
    if (before == 0 && !all) take_over(more), known = reused;
    status = cache.resize(before + more.size());
    if (status && !more.empty()) {
      if (progress) progress(known, more.size());
      const ReadJob job{.session = this,
                        .sequence = {.tokens = more.subspan(known), .position = before + known, .cache = &cache,
                                     .wanted = all ? Sequence::Logits::all : Sequence::Logits::last,
                                     .deterministic = options.deterministic, .logits = all ? all : &last}};
      status = runtime.queue.read(job, cancel, [&](size_t done) {
        if (progress) progress(known + done, more.size());
      });
    }
  } catch (const std::bad_alloc&) {
    status = Status(StatusCode::out_of_memory, "not enough memory for the next tokens: use a smaller context");
  }
  if (!status) {
    if (before == 0) reused = 0;
    static_cast<void>(cache.resize(before));   // shrinking does not fail
    return status;
  }
  if (more.empty()) return {};
  if (progress) progress(more.size(), more.size());
  tokens.insert(tokens.end(), more.begin(), more.end());
  if (all) last.assign(all->end() - static_cast<std::ptrdiff_t>(runtime.config.vocabulary), all->end());
  logits = std::move(last);
  leave_to_others(more.size() - known);
  return {};
}

Result<std::unique_ptr<Timeline>> Timeline::create(std::shared_ptr<const Model> model, const TimelineOptions& options) {
  const Config& config = model->runtime().config;
  TimelineOptions own = options;
  own.max_tokens = options.max_tokens ? std::min(options.max_tokens, config.context) : config.context;
  auto state = std::make_unique<State>(State{std::move(model), own, KvCache(kv_shape(config, own.kv_type)), {}, {}});
  return std::unique_ptr<Timeline>(new Timeline(std::move(state)));
}

Result<std::unique_ptr<Timeline>> Timeline::fork() {
  WENQU_ASSIGN_OR_RETURN(KvCache cache, state_->cache.fork());
  try {
    auto state = std::make_unique<State>(State{state_->model, state_->options, std::move(cache), state_->tokens, state_->logits, state_->reused});
    return std::unique_ptr<Timeline>(new Timeline(std::move(state)));
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory to fork the timeline");
  }
}

Status Timeline::save(const std::string& path) try {
  return write_timeline(path, {state_->model->fingerprint(), state_->options.deterministic}, state_->cache, state_->tokens, state_->logits);
} catch (const std::bad_alloc&) {
  return Status(StatusCode::out_of_memory, "not enough memory to save the timeline", path);
}

Result<std::unique_ptr<Timeline>> Timeline::restore(std::shared_ptr<const Model> model, const std::string& path,
                                                    const TimelineOptions& options) try {
  WENQU_ASSIGN_OR_RETURN(std::unique_ptr<Timeline> timeline, create(std::move(model), options));
  State& state = *timeline->state_;
  const Config& config = state.model->runtime().config;
  TimelineOrigin origin{state.model->fingerprint()};
  const uint64_t limit = state.options.max_tokens;
  WENQU_RETURN_IF_ERROR(read_timeline(path, kv_shape(config, KvType::f32), config.vocabulary, limit, origin, state.cache, state.tokens, state.logits));
  state.options.kv_type = state.cache.shape().type;
  state.options.deterministic = origin.deterministic;
  return timeline;
} catch (const std::bad_alloc&) {
  return Status(StatusCode::out_of_memory, "not enough memory to restore the timeline", path);
}

Timeline::Timeline(std::unique_ptr<State> state) : state_(std::move(state)) {}
Timeline::~Timeline() = default;

Status Timeline::append(std::span<const TokenId> tokens, const CancelToken& cancel, const PrefillProgress& progress) {
  return state_->append(tokens, cancel, progress, nullptr);
}

Result<std::vector<float>> Timeline::append_with_logits(std::span<const TokenId> tokens, const CancelToken& cancel) {
  std::vector<float> all;
  WENQU_RETURN_IF_ERROR(state_->append(tokens, cancel, {}, &all));
  return all;
}

std::span<const float> Timeline::logits() const { return state_->logits; }

Status Timeline::truncate(size_t size) {
  if (size > state_->tokens.size())
    return Status(StatusCode::invalid_argument, fmt::format("there are {} tokens, fewer than {}", state_->tokens.size(), size));
  if (size == state_->tokens.size()) return {};
  WENQU_RETURN_IF_ERROR(state_->cache.resize(size));
  state_->tokens.resize(size);
  state_->logits.clear();
  return {};
}

std::span<const TokenId> Timeline::tokens() const { return state_->tokens; }
const Model& Timeline::model() const { return *state_->model; }
size_t Timeline::reused_tokens() const { return state_->reused; }
const TimelineOptions& Timeline::options() const { return state_->options; }
uint64_t Timeline::cache_bytes() const { return state_->cache.bytes(); }

}  // namespace wenqu::engine
