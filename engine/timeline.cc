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
  MemoryCharge charge;       // for the logits
  std::vector<TokenId> tokens;
  std::vector<float> logits;   // after the last token
  TopLogits top;               // in their place

  size_t reused = 0;           // of the first tokens

  // A draft that was read behind the tokens: the cache holds it, `tokens` do not.
  std::vector<TokenId> ahead;
  std::vector<float> ahead_logits;   // after the token before it, and after each of its own
  std::vector<TopLogits> ahead_top;  // in their place
  size_t ahead_taken = 0;            // of its tokens; less than all
  MemoryCharge ahead_charge;         // for its logits

  ~State() {
    model->runtime().queue.leave(this);
    leave_to_others(tokens.size());
  }
  Status append(std::span<const TokenId> more, const CancelToken& cancel, const PrefillProgress& progress,
                std::vector<float>* all, const TopRequest* request);
  Status append_with_draft(TokenId token, std::span<const TokenId> draft, const CancelToken& cancel, const TopRequest* request);
  Status recall_logits(const CancelToken& cancel);
  std::span<const TokenId> read_ahead() const { return std::span(ahead).subspan(ahead_taken); }
  void forget_ahead() {
    if (ahead.empty()) return;
    ahead.clear(), ahead_taken = 0;
    ahead_logits = {}, ahead_top = {};
    ahead_charge = {};
    static_cast<void>(cache.resize(tokens.size()));   // shrinking does not fail
  }

  static Result<MemoryCharge> charge_logits(const Model& model, uint64_t bytes) {
    const std::shared_ptr<MemoryAccount>& account = model.runtime().account;
    MemoryCharge charge(account, bytes);
    if (charge) return charge;
    return Status(StatusCode::out_of_memory,
                  fmt::format("{:.1f} MiB for logits are more than {} left: end other sessions", static_cast<double>(bytes) / (1 << 20),
                              account->limit() == MemoryAccount::kNoLimit ? "the system has" : "the sessions' part of the memory budget has"));
  }

 private:
  static constexpr size_t kFewTokens = 16;   // not worth keeping

  PrefixKind kind() const { return {options.kv_type, options.deterministic}; }
  // Takes over what is known of the beginning of `prompt`, but for its last token, whose logits are wanted.
  void take_over(std::span<const TokenId> prompt);
  Status check(std::span<const TokenId> more) const;
  // Puts `more` into the cache behind the tokens, but for those of it that are known. Throws std::bad_alloc.
  Status read(std::span<const TokenId> more, size_t known, Sequence::Logits wanted, const CancelToken& cancel,
              const PrefillProgress& progress, std::vector<float>& out, const TopRequest* request, std::vector<TopLogits>& top_out);
  // The token is what the draft goes on with.
  Status take_ahead(TokenId token, const CancelToken& cancel);
  void leave_to_others(size_t read) {
    if (options.share_prefixes && read >= kFewTokens) model->runtime().prefixes.insert(kind(), cache, tokens);
  }
};

void Timeline::State::take_over(std::span<const TokenId> prompt) {
  reused = 0;
  if (!options.share_prefixes || prompt.size() < kFewTokens) return;
  KvCache known = model->runtime().prefixes.find(kind(), cache.shape(), prompt.first(prompt.size() - 1), cache.account());
  reused = known.size();
  if (reused > 0) cache = std::move(known);
}

Status Timeline::State::check(std::span<const TokenId> more) const {
  const uint64_t vocabulary = model->runtime().config.vocabulary;
  for (size_t i = 0; i < more.size(); ++i)
    if (more[i] < 0 || static_cast<uint64_t>(more[i]) >= vocabulary)
      return Status(StatusCode::invalid_argument, fmt::format("{} is not below the vocabulary's size of {}", more[i], vocabulary),
                    fmt::format("token {}", i));
  if (more.size() > options.max_tokens - std::min<uint64_t>(options.max_tokens, tokens.size()))
    return Status(StatusCode::limit_exceeded,
                  fmt::format("{} tokens do not fit behind {} into a context of {}", more.size(), tokens.size(), options.max_tokens));
  return {};
}

Status Timeline::State::read(std::span<const TokenId> more, size_t known, Sequence::Logits wanted, const CancelToken& cancel,
                             const PrefillProgress& progress, std::vector<float>& out, const TopRequest* request,
                             std::vector<TopLogits>& top_out) {
  const size_t before = tokens.size();
  tokens.reserve(before + more.size());
  WENQU_RETURN_IF_ERROR(cache.resize(before + more.size()));
  if (more.empty()) return {};
  if (progress) progress(known, more.size());
  const ReadJob job{.session = this,
                    .sequence = {.tokens = more.subspan(known), .position = before + known, .cache = &cache, .wanted = wanted,
                                 .deterministic = options.deterministic, .logits = &out, .request = request, .top = &top_out}};
  return model->runtime().queue.read(job, cancel, [&](size_t done) {
    if (progress) progress(known + done, more.size());
  });
}

Status Timeline::State::append(std::span<const TokenId> more, const CancelToken& cancel, const PrefillProgress& progress,
                               std::vector<float>* all, const TopRequest* request) {
  if (more.empty()) return {};
  if (more.size() == 1 && !all && !ahead.empty() && ahead[ahead_taken] == more[0]) {
    if (progress) progress(0, 1);
    WENQU_RETURN_IF_ERROR(take_ahead(more[0], cancel));
    if (progress) progress(1, 1);
    return {};
  }
  WENQU_RETURN_IF_ERROR(check(more));
  forget_ahead();
  const size_t before = tokens.size();
  MemoryCharge for_all;
  if (all) {
    WENQU_ASSIGN_OR_RETURN(for_all, charge_logits(*model, more.size() * model->runtime().config.vocabulary * sizeof(float)));
  }
  Status status;
  std::vector<float> last;
  std::vector<TopLogits> best;
  size_t known = 0;   // of `more`
  try {
    if (before == 0 && !all) take_over(more), known = reused;
    status = read(more, known, all ? Sequence::Logits::all : Sequence::Logits::last, cancel, progress, all ? *all : last,
                  request, best);
  } catch (const std::bad_alloc&) {
    status = Status(StatusCode::out_of_memory, "not enough memory for the next tokens: use a smaller context");
  }
  if (!status) {
    if (before == 0) reused = 0;
    static_cast<void>(cache.resize(before));   // shrinking does not fail
    return status;
  }
  if (progress) progress(more.size(), more.size());
  tokens.insert(tokens.end(), more.begin(), more.end());
  if (all) last.assign(all->end() - static_cast<std::ptrdiff_t>(model->runtime().config.vocabulary), all->end());
  logits = std::move(last);
  top = best.empty() ? TopLogits() : std::move(best.back());
  leave_to_others(more.size() - known);
  return {};
}

Status Timeline::State::append_with_draft(TokenId token, std::span<const TokenId> draft, const CancelToken& cancel,
                                          const TopRequest* request) {
  constexpr size_t kMost = BatchLimits{}.decode_tokens - 1;   // the batch is one of those who decode
  static_assert(kMost + 1 < kFewTokens, "a draft is never left to others");
  const uint64_t room = options.max_tokens - std::min<uint64_t>(options.max_tokens, tokens.size());
  draft = draft.first(std::min<uint64_t>({draft.size(), kMost, room > 0 ? room - 1 : 0}));
  const auto alone = [&] { return append({&token, 1}, cancel, {}, nullptr, request); };
  if (draft.empty() || tokens.empty()) return alone();
  Status status;
  try {
    std::vector<TokenId> both{token};
    both.insert(both.end(), draft.begin(), draft.end());
    WENQU_RETURN_IF_ERROR(check(both));
    forget_ahead();
    const size_t vocabulary = model->runtime().config.vocabulary;
    Result<MemoryCharge> for_logits = charge_logits(*model, both.size() * vocabulary * sizeof(float));
    if (!for_logits) return alone();
    std::vector<float> first(vocabulary), all;
    std::vector<TopLogits> best;
    if (status = read(both, 0, Sequence::Logits::all, cancel, {}, all, request, best); status) {
      if (all.empty()) first.clear();
      std::copy_n(all.begin(), first.size(), first.begin());
      TopLogits first_top = best.empty() ? TopLogits() : best.front();
      logits = std::move(first), top = std::move(first_top);
      tokens.push_back(token);   // there is room
      both.erase(both.begin());
      ahead = std::move(both), ahead_logits = std::move(all), ahead_top = std::move(best), ahead_charge = std::move(*for_logits);
      return {};
    }
  } catch (const std::bad_alloc&) {
    status = Status(StatusCode::out_of_memory, "not enough memory for a draft");
  }
  static_cast<void>(cache.resize(tokens.size()));   // shrinking does not fail
  return status.code() == StatusCode::out_of_memory ? alone() : status;
}

// Into a cache of its own: the timeline's last segment may be others' too, and stays as it is on error.
Status Timeline::State::recall_logits(const CancelToken& cancel) try {
  if (top.best.empty()) return {};
  forget_ahead();
  const size_t before = tokens.size() - 1;
  WENQU_ASSIGN_OR_RETURN(KvCache again, cache.fork());
  WENQU_RETURN_IF_ERROR(again.resize(before));
  WENQU_RETURN_IF_ERROR(again.resize(tokens.size()));
  std::vector<float> last;
  const ReadJob job{.session = this,
                    .sequence = {.tokens = std::span<const TokenId>(tokens).subspan(before), .position = before, .cache = &again,
                                 .deterministic = options.deterministic, .logits = &last}};
  WENQU_RETURN_IF_ERROR(model->runtime().queue.read(job, cancel));
  cache = std::move(again);
  logits = std::move(last), top = {};
  return {};
} catch (const std::bad_alloc&) {
  return Status(StatusCode::out_of_memory, "not enough memory to read the last token again");
}

Status Timeline::State::take_ahead(TokenId token, const CancelToken& cancel) try {
  WENQU_RETURN_IF_ERROR(cancel.status());
  tokens.push_back(token);
  ++ahead_taken;
  if (!ahead_top.empty()) top = std::move(ahead_top[ahead_taken]);
  else std::copy_n(ahead_logits.begin() + static_cast<std::ptrdiff_t>(ahead_taken * logits.size()), logits.size(), logits.begin());
  if (ahead_taken == ahead.size()) forget_ahead();
  return {};
} catch (const std::bad_alloc&) {
  return Status(StatusCode::out_of_memory, "not enough memory for the next token: use a smaller context");
}

Result<std::unique_ptr<Timeline>> Timeline::create(std::shared_ptr<const Model> model, const TimelineOptions& options) {
  const Config& config = model->runtime().config;
  TimelineOptions own = options;
  own.max_tokens = options.max_tokens ? std::min(options.max_tokens, config.context) : config.context;
  const std::shared_ptr<MemoryAccount> account = model->runtime().account;
  WENQU_ASSIGN_OR_RETURN(MemoryCharge charge, State::charge_logits(*model, session_logits_bytes(config)));
  std::unique_ptr<State> state(new State{std::move(model), own, KvCache(kv_shape(config, own.kv_type), account), std::move(charge), {}, {}});
  return std::unique_ptr<Timeline>(new Timeline(std::move(state)));
}

Result<std::unique_ptr<Timeline>> Timeline::fork(ForkReads reads) {
  state_->forget_ahead();
  WENQU_ASSIGN_OR_RETURN(KvCache cache, state_->cache.fork());
  WENQU_ASSIGN_OR_RETURN(MemoryCharge charge, State::charge_logits(*state_->model, session_logits_bytes(state_->model->runtime().config)));
  try {
    std::unique_ptr<State> state(new State{state_->model, state_->options, std::move(cache), std::move(charge), state_->tokens, state_->logits,
                                           state_->top, state_->reused});
    if (reads == ForkReads::alone) state->options.share_prefixes = false;
    return std::unique_ptr<Timeline>(new Timeline(std::move(state)));
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory to fork the timeline");
  }
}

Status Timeline::save(const std::string& path) try {
  state_->forget_ahead();
  WENQU_RETURN_IF_ERROR(state_->recall_logits({}));
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
  // What was read of a file that is refused is nobody's beginning.
  struct Guard {
    State& state;
    bool whole = false;
    ~Guard() {
      if (!whole) state.tokens.clear(), state.logits.clear();
    }
  } guard{state};
  WENQU_RETURN_IF_ERROR(read_timeline(path, kv_shape(config, KvType::f32), config.vocabulary, limit, origin, state.cache, state.tokens, state.logits));
  guard.whole = true;
  state.options.kv_type = state.cache.shape().type;
  state.options.deterministic = origin.deterministic;
  return timeline;
} catch (const std::bad_alloc&) {
  return Status(StatusCode::out_of_memory, "not enough memory to restore the timeline", path);
}

Timeline::Timeline(std::unique_ptr<State> state) : state_(std::move(state)) {}
Timeline::~Timeline() = default;

Status Timeline::append(std::span<const TokenId> tokens, const CancelToken& cancel, const PrefillProgress& progress, const TopRequest* request) {
  return state_->append(tokens, cancel, progress, nullptr, request);
}

Status Timeline::append_with_draft(TokenId token, std::span<const TokenId> draft, const CancelToken& cancel, const TopRequest* request) {
  return state_->append_with_draft(token, draft, cancel, request);
}

std::span<const TokenId> Timeline::read_ahead() const { return state_->read_ahead(); }

Result<std::vector<float>> Timeline::append_with_logits(std::span<const TokenId> tokens, const CancelToken& cancel) {
  std::vector<float> all;
  WENQU_RETURN_IF_ERROR(state_->append(tokens, cancel, {}, &all, nullptr));
  return all;
}

std::span<const float> Timeline::logits() const { return state_->logits; }
const TopLogits* Timeline::top() const { return state_->top.best.empty() ? nullptr : &state_->top; }
Status Timeline::recall_logits(const CancelToken& cancel) { return state_->recall_logits(cancel); }

Status Timeline::truncate(size_t size) {
  if (size > state_->tokens.size())
    return Status(StatusCode::invalid_argument, fmt::format("there are {} tokens, fewer than {}", state_->tokens.size(), size));
  if (size == state_->tokens.size()) return {};
  state_->forget_ahead();
  WENQU_RETURN_IF_ERROR(state_->cache.resize(size));
  state_->tokens.resize(size);
  state_->logits.clear();
  state_->top = {};
  return {};
}

std::span<const TokenId> Timeline::tokens() const { return state_->tokens; }
const Model& Timeline::model() const { return *state_->model; }
size_t Timeline::reused_tokens() const { return state_->reused; }
const TimelineOptions& Timeline::options() const { return state_->options; }
uint64_t Timeline::cache_bytes() const { return state_->cache.bytes(); }

}  // namespace wenqu::engine
