// Decoding with drafts against decoding without, side by side, of texts whose every token is forced: how fast an
// answer would come that repeats its source with a given share of the tokens changed.
//
//   wenqu_drafts_bench MODEL [TOKENS [auto|always [SHARE...]]]
//
// SHARE: of the tokens that are the source's, -1 for a text in which no guess comes true. "always" drafts whether it
// pays or not, to see what it would cost. Both decode the same text in turns of a few
// tokens, so that whatever disturbs the machine disturbs both.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>

#include "engine/generate.h"

namespace wenqu::engine {
namespace {

constexpr size_t kTurn = 16;

struct Line {
  std::unique_ptr<Timeline> timeline;
  double seconds = 0;
  GenerateResult sum;
};

int fail(const Status& status) {
  std::fprintf(stderr, "%s\n", status.to_string().c_str());
  return 1;
}

// Tokens of the text from `at` on, whatever the model says.
Status force(Line& line, std::span<const TokenId> text, size_t at, Drafter* drafter) {
  SamplingOptions sampling{.temperature = 0};
  sampling.mask = [&](std::span<float> logits) {
    std::fill(logits.begin(), logits.end(), -INFINITY);
    logits[static_cast<size_t>(text[at++])] = 0;
  };
  WENQU_ASSIGN_OR_RETURN(Sampler sampler, Sampler::create(sampling));
  const auto begun = std::chrono::steady_clock::now();
  WENQU_ASSIGN_OR_RETURN(const GenerateResult result, generate(*line.timeline, sampler, {.max_tokens = std::min(kTurn, text.size() - at), .drafter = drafter},
                                                               [](const GeneratedToken&) { return true; }, {}));
  line.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  line.sum.tokens += result.tokens, line.sum.drafted += result.drafted, line.sum.accepted += result.accepted;
  return {};
}

Result<std::pair<Line, Line>> compare(Timeline& prompt, std::span<const TokenId> text, const DraftOptions& drafts) {
  Line plain, drafted;
  WENQU_ASSIGN_OR_RETURN(plain.timeline, prompt.fork());
  WENQU_ASSIGN_OR_RETURN(drafted.timeline, prompt.fork());
  Drafter drafter = make_drafter(prompt.model(), drafts);
  for (size_t at = 0; at < text.size(); at += kTurn) {
    WENQU_RETURN_IF_ERROR(force(plain, text, at, nullptr));
    WENQU_RETURN_IF_ERROR(force(drafted, text, at, &drafter));
  }
  return std::pair(std::move(plain), std::move(drafted));
}

// Of two tokens always the one that a drafter does not guess: everything matches, and no draft comes true.
std::vector<TokenId> misleading(const Timeline& prompt, size_t count) {
  std::vector<TokenId> text;
  Drafter guessing = make_drafter(prompt.model(), {.always = true});
  guessing.follow(prompt.tokens());
  for (size_t i = 0; i < count; ++i) {
    const std::span<const TokenId> guess = guessing.draft(1);
    text.push_back(!guess.empty() && guess[0] == 100 ? 101 : 100);
    guessing.push(text.back());
  }
  return text;
}

Status batches(Timeline& prompt) {
  std::printf("batch of");
  double one = 0;
  for (size_t n = 1; n <= 8; ++n) {
    std::vector<double> times;
    WENQU_ASSIGN_OR_RETURN(const auto timeline, prompt.fork());
    const std::vector<TokenId> draft(n - 1, 100);
    for (int i = 0; i < 5; ++i) {
      const auto begun = std::chrono::steady_clock::now();
      WENQU_RETURN_IF_ERROR(timeline->append_with_draft(101, draft, {}));
      times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
    }
    std::nth_element(times.begin(), times.begin() + 2, times.end());
    if (n == 1) one = times[2];
    std::printf("  %zu: %.1f ms (%.2f)", n, 1e3 * times[2], times[2] / one);
  }
  std::printf("\n");
  return {};
}

int run(const char* path, size_t count, const DraftOptions& drafts, const std::vector<double>& shares) {
  const auto model = Model::load(path, {});
  if (!model) return fail(model.status());
  auto created = Timeline::create(*model);
  if (!created) return fail(created.status());
  Timeline& prompt = **created;
  std::mt19937 random(1);
  const auto some_token = [&] { return static_cast<TokenId>(300 + random() % ((*model)->info().tokens - 1000)); };
  std::vector<TokenId> source(count + 16);
  for (TokenId& token : source) token = some_token();
  if (const Status status = prompt.append(source, {}); !status) return fail(status);
  if (const Status status = batches(prompt); !status) return fail(status);
  std::printf("%-22s  plain t/s  drafts t/s  ratio  drafted  accepted of %zu\n", "tokens of the source", count);
  for (const double share : shares) {
    std::vector<TokenId> text = share < 0 ? misleading(prompt, count) : std::vector<TokenId>(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(count));
    std::vector<size_t> places(text.size());
    std::iota(places.begin(), places.end(), size_t{0});
    std::shuffle(places.begin(), places.end(), random);
    if (share >= 0)
      for (const size_t place : std::span(places).subspan(static_cast<size_t>(std::lround(std::min(share, 1.0) * static_cast<double>(count))))) text[place] = some_token();
    const auto both = compare(prompt, text, drafts);
    if (!both) return fail(both.status());
    const auto& [plain, drafted] = *both;
    const double tokens = static_cast<double>(count);
    char name[32];
    std::snprintf(name, sizeof(name), share < 0 ? "misleading" : "%.1f", share);
    std::printf("%-22s  %9.2f  %10.2f  %5.3f  %7zu  %8zu\n", name, tokens / plain.seconds, tokens / drafted.seconds,
                plain.seconds / drafted.seconds, drafted.sum.drafted, drafted.sum.accepted);
  }
  return 0;
}

}  // namespace
}  // namespace wenqu::engine

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: wenqu_drafts_bench MODEL [TOKENS [auto|always [SHARE...]]]\n");
    return 2;
  }
  const size_t count = argc > 2 ? static_cast<size_t>(std::max(1, std::atoi(argv[2]))) : 96;
  std::vector<double> shares;
  for (int i = 4; i < argc; ++i) shares.push_back(std::atof(argv[i]));
  if (shares.empty()) shares = {1.0, 0.9, 0.5, 0.0, -1.0};
  return wenqu::engine::run(argv[1], count, {.always = argc > 3 && std::strcmp(argv[3], "always") == 0}, shares);
}
