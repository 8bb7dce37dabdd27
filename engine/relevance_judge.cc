#include "engine/relevance_judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#include "base/thread.h"
#include "base/utf8.h"
#include "engine/cpu/kernels.h"
#include "engine/gguf/file.h"
#include "engine/runtime.h"

namespace wenqu::engine {
namespace {

constexpr size_t kMostTokens = 8192;
constexpr size_t kLeastRoom = 32;        // tokens for question and text, below which there is no sense in asking
constexpr size_t kBytesPerToken = 64;    // a text's bytes beyond this many for each token it may have are not looked at
constexpr std::string_view kTask =
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    "Note that the answer can only be \"yes\" or \"no\".";

// The beginning of a text that has so many tokens, or a few less, where it would end amid a character.
std::string_view first_tokens(const Tokenizer& tokenizer, std::string_view text, size_t most) {
  text = text.substr(0, utf8_complete_prefix(text.substr(0, most * kBytesPerToken)));
  const std::vector<TokenId> tokens = tokenizer.encode(text);
  if (tokens.size() <= most) return text;
  size_t bytes = 0;
  for (size_t i = 0; i < most; ++i) bytes += tokenizer.decode(tokens[i]).size();
  return text.substr(0, utf8_complete_prefix(text.substr(0, bytes)));
}

// Of a reranker's output matrix some converters keep only the rows of "yes" and "no", as a classifier. That is no loss
// where the output is the embedding again, which is to be seen in the rows; else the model cannot be asked.
Status check_classifier(const gguf::File& file, TokenId yes) {
  const gguf::Tensor* classifier = file.tensor("cls.output.weight");
  const gguf::Tensor* embedding = file.tensor("token_embd.weight");
  if (!classifier || file.tensor("output.weight") || !embedding) return {};
  const size_t d = embedding->ne[0];
  const auto row = [&](const gguf::Tensor& tensor, size_t number) {
    std::vector<float> values(d);
    cpu::dequantize_row(tensor.type, tensor.data + number * tensor.row_bytes(), d, values.data());
    return values;
  };
  if (classifier->ne[0] == d) {
    const std::vector<float> a = row(*classifier, 0), b = row(*embedding, static_cast<size_t>(yes));
    double product = 0, a2 = 0, b2 = 0;
    for (size_t i = 0; i < d; ++i) {
      const auto x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
      product += x * y, a2 += x * x, b2 += y * y;
    }
    // Both may be quantized.
    if (product > 0.9 * std::sqrt(a2 * b2)) return {};
  }
  return Status(StatusCode::unsupported,
                "the file has only a classifier in the place of the model's output: use one that was converted as a generative model",
                "tensor 'cls.output.weight'");
}

}  // namespace

RelevanceJudge::RelevanceJudge(std::shared_ptr<const Model> model, ChatTemplate chat, RelevanceJudgeOptions options)
    : model_(std::move(model)), chat_(chat), options_(std::move(options)) {}

Result<std::shared_ptr<const RelevanceJudge>> RelevanceJudge::create(std::shared_ptr<const Model> model, RelevanceJudgeOptions options) {
  WENQU_ASSIGN_OR_RETURN(const ChatTemplate chat, model->chat_template());
  const size_t most = static_cast<size_t>(std::min<uint64_t>(model->info().context, kMostTokens));
  options.max_tokens = options.max_tokens == 0 ? most : std::min(options.max_tokens, most);
  options.timeline.max_tokens = options.max_tokens;
  options.texts_at_once = std::max<size_t>(options.texts_at_once, 1);
  std::shared_ptr<RelevanceJudge> judge(new RelevanceJudge(std::move(model), chat, std::move(options)));
  WENQU_RETURN_IF_ERROR(judge->find_answers());
  const size_t form = judge->prompt("", "").size();
  if (form + kLeastRoom > judge->options_.max_tokens)
    return Status(StatusCode::unsupported,
                  fmt::format("a context of {} tokens has no room for a question and a text", judge->options_.max_tokens),
                  judge->model_->info().path);
  judge->room_ = judge->options_.max_tokens - form;
  return std::shared_ptr<const RelevanceJudge>(std::move(judge));
}

Status RelevanceJudge::find_answers() {
  // This template ends amid a line, so that the answer begins with a blank.
  const std::string blank = chat_ == ChatTemplate::deepseek_v2 ? " " : "";
  const std::vector<TokenId> yes = model_->tokenizer().encode(blank + "yes"), no = model_->tokenizer().encode(blank + "no");
  if (yes.empty() || no.empty() || yes[0] == no[0])
    return Status(StatusCode::unsupported, "the model's tokens do not tell \"yes\" from \"no\"", model_->info().path);
  yes_ = yes[0], no_ = no[0];
  return check_classifier(*model_->runtime().file, yes_);
}

std::vector<TokenId> RelevanceJudge::prompt(std::string_view query, std::string_view text) const {
  const std::vector<ChatMessage> messages = {
      {ChatMessage::Role::system, std::string(kTask)},
      {ChatMessage::Role::user, fmt::format("<Instruct>: {}\n<Query>: {}\n<Document>: {}", options_.instruction, query, text)}};
  RenderedChat chat = render_chat(chat_, messages, false);
  // A thought that the template opens is closed at once.
  if (chat.starts_in_thinking) chat.pieces.push_back(Piece::control("\n</think>\n\n"));
  if (chat_ == ChatTemplate::kimi_thinking) chat.pieces.push_back(Piece::control("<think></think>"));
  return model_->tokenizer().encode(std::span<const Piece>(chat.pieces));
}

std::vector<TokenId> RelevanceJudge::fitting_prompt(std::string_view query, std::string_view text) const {
  for (size_t most = room_;;) {
    text = first_tokens(model_->tokenizer(), text, most);
    std::vector<TokenId> tokens = prompt(query, text);
    if (tokens.size() <= options_.max_tokens) return tokens;
    // In its place a text may have a token more or less than alone.
    most = std::min(most, model_->tokenizer().encode(text).size());
    most -= std::min(most, tokens.size() - options_.max_tokens);
  }
}

Result<float> RelevanceJudge::read_answer(Timeline& timeline, std::span<const TokenId> rest, const CancelToken& cancel) const {
  WENQU_RETURN_IF_ERROR(timeline.append(rest, cancel));
  const float score = timeline.logits()[static_cast<size_t>(yes_)] - timeline.logits()[static_cast<size_t>(no_)];
  if (std::isfinite(score)) return score;
  return Status(StatusCode::internal, "the model gives figures that are no numbers: its file may be damaged", model_->info().path);
}

Result<std::vector<float>> RelevanceJudge::score(const std::string& query, std::span<const std::string> texts,
                                                 const CancelToken& cancel) const try {
  std::vector<float> scores(texts.size());
  if (texts.empty()) return scores;
  const std::string_view asked = first_tokens(model_->tokenizer(), query, room_ / 2);
  const std::vector<TokenId> empty = prompt(asked, "");
  std::vector<std::vector<TokenId>> prompts;
  size_t shared = empty.size() - 1;   // of the first tokens; each prompt has one of its own at least, whose logits are wanted
  for (const std::string& text : texts) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    const std::vector<TokenId>& tokens = prompts.emplace_back(fitting_prompt(asked, text));
    shared = static_cast<size_t>(std::mismatch(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(std::min(shared, tokens.size() - 1)),
                                               empty.begin()).first - tokens.begin());
  }
  WENQU_ASSIGN_OR_RETURN(const std::unique_ptr<Timeline> beginning, Timeline::create(model_, options_.timeline));
  WENQU_RETURN_IF_ERROR(beginning->append(std::span(empty).first(shared), cancel));

  // Whoever is free takes the next text. A failure ends the others.
  std::atomic<size_t> next = 0;
  std::mutex mutex;   // of `beginning` and `failure`
  Status failure;
  CancelSource stop(cancel, std::nullopt);
  const auto read_next = [&](size_t i) -> Status {
    std::unique_lock lock(mutex);
    WENQU_ASSIGN_OR_RETURN(const std::unique_ptr<Timeline> timeline, beginning->fork(Timeline::ForkReads::alone));
    lock.unlock();
    WENQU_ASSIGN_OR_RETURN(scores[i], read_answer(*timeline, std::span(prompts[i]).subspan(shared), stop.token()));
    return {};
  };
  const auto work = [&] {
    for (size_t i; (i = next++) < texts.size();) {
      Status status;
      try {
        status = read_next(i);
      } catch (const std::bad_alloc&) {
        status = Status(StatusCode::out_of_memory, "not enough memory to judge a text");
      }
      if (status) continue;
      const std::lock_guard lock(mutex);
      if (failure) failure = status;
      stop.cancel();
      return;
    }
  };
  std::vector<std::thread> others;
  others.reserve(options_.texts_at_once);
  try {
    while (others.size() + 1 < std::min(options_.texts_at_once, texts.size())) others.push_back(start_thread(work));
  } catch (const std::system_error&) {
    // With fewer threads it takes longer.
  }
  work();
  for (std::thread& other : others) other.join();
  WENQU_RETURN_IF_ERROR(failure);
  return scores;
} catch (const std::bad_alloc&) {
  return Status(StatusCode::out_of_memory, "not enough memory to judge the texts");
}

}  // namespace wenqu::engine
