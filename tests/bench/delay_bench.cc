// What sessions cost each other: how long a running answer waits for its next token while another session reads a long
// prompt, how long that prompt takes beside it, and how long a conversation's next question takes.
//
//   wenqu_delay_bench MODEL [PROMPT_TOKENS [ANSWERS]]
//
// Tokens are random ones; the answers decode as fast as they can.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/timeline.h"

namespace wenqu::engine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begun) { return std::chrono::duration<double>(Clock::now() - begun).count(); }

class DelayBench {
 public:
  explicit DelayBench(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

  Status run(size_t prompt_tokens, size_t answers) {
    const std::vector<TokenId> prompt = some(prompt_tokens), question = some(60);
    WENQU_ASSIGN_OR_RETURN(auto conversation, Timeline::create(model_));
    WENQU_ASSIGN_OR_RETURN(const double cold, time(*conversation, prompt));
    WENQU_ASSIGN_OR_RETURN(const double next, time(*conversation, question));
    std::printf("%zu tokens, cold: %.2f s; 60 more, the rest known: %.3f s (%.1f %%)\n", prompt.size(), cold, next, 100 * next / cold);
    for (size_t i = 0; i < answers; ++i) {
      Answer& answer = answers_.emplace_back();
      WENQU_ASSIGN_OR_RETURN(answer.timeline, Timeline::create(model_));
      WENQU_RETURN_IF_ERROR(answer.timeline->append(some(16), {}));
    }
    std::vector<std::thread> threads;
    const std::vector<TokenId> other_prompt = some(prompt_tokens), text = some(4096);
    WENQU_ASSIGN_OR_RETURN(const auto another, Timeline::create(model_));
    for (Answer& answer : answers_) threads.emplace_back([&] { decode(answer, text); });
    while (std::ranges::any_of(answers_, [](const Answer& answer) { return answer.tokens < kQuiet && answer.status; }))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const auto begun = Clock::now();
    const Result<double> together = time(*another, other_prompt);
    const auto ended = Clock::now();
    over_ = true;
    for (std::thread& thread : threads) thread.join();
    WENQU_RETURN_IF_ERROR(together.status());
    std::printf("beside %zu answers: %.2f s (%.2f times)\n", answers, *together, *together / cold);
    for (const Answer& answer : answers_) {
      WENQU_RETURN_IF_ERROR(answer.status);
      std::vector<double> quiet, busy;
      for (size_t i = 1; i < answer.times.size(); ++i) {
        const double interval = std::chrono::duration<double>(answer.times[i] - answer.times[i - 1]).count();
        if (answer.times[i] < begun) quiet.push_back(interval);
        else if (answer.times[i - 1] < ended) busy.push_back(interval);
      }
      std::printf("an answer's next token: quiet %s; beside the prompt %s\n", summary(quiet).c_str(), summary(busy).c_str());
    }
    return {};
  }

 private:
  static constexpr size_t kQuiet = 24;   // tokens before the prompt comes
  struct Answer {
    std::unique_ptr<Timeline> timeline;
    std::vector<Clock::time_point> times;
    std::atomic<size_t> tokens{0};
    Status status;
  };

  std::vector<TokenId> some(size_t count) {
    std::vector<TokenId> tokens(count);
    for (TokenId& token : tokens) token = static_cast<TokenId>(300 + random_() % (model_->info().tokens - 1000));
    return tokens;
  }
  static Result<double> time(Timeline& timeline, const std::vector<TokenId>& tokens) {
    const auto begun = Clock::now();
    WENQU_RETURN_IF_ERROR(timeline.append(tokens, {}));
    return seconds_since(begun);
  }
  void decode(Answer& answer, const std::vector<TokenId>& text) {
    for (size_t i = 0; !over_ && answer.status; ++i, ++answer.tokens) {
      answer.status = answer.timeline->append({&text[i % text.size()], 1}, {});
      answer.times.push_back(Clock::now());
    }
  }
  static std::string summary(std::vector<double>& seconds) {
    if (seconds.empty()) return "none";
    std::ranges::sort(seconds);
    char text[96];
    std::snprintf(text, sizeof(text), "p50 %.0f ms, worst %.0f ms of %zu", 1e3 * seconds[seconds.size() / 2], 1e3 * seconds.back(), seconds.size());
    return text;
  }

  const std::shared_ptr<const Model> model_;
  std::mt19937 random_{1};
  std::list<Answer> answers_;
  std::atomic<bool> over_{false};
};

}  // namespace
}  // namespace wenqu::engine

int main(int argc, char** argv) {
  using namespace wenqu::engine;
  if (argc < 2) {
    std::fprintf(stderr, "usage: wenqu_delay_bench MODEL [PROMPT_TOKENS [ANSWERS]]\n");
    return 2;
  }
  const auto number = [&](int place, int otherwise) { return static_cast<size_t>(std::max(1, argc > place ? std::atoi(argv[place]) : otherwise)); };
  const auto model = Model::load(argv[1], {});
  const wenqu::Status status = model ? DelayBench(*model).run(number(2, 2000), number(3, 1)) : model.status();
  if (status) return 0;
  std::fprintf(stderr, "%s\n", status.to_string().c_str());
  return 1;
}
