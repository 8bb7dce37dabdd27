#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>

#include "engine/timeline.h"
#include "sdk/cli/commands.h"
#include "sdk/cli/interrupt.h"
#include "sdk/cli/load.h"

namespace wenqu::cli {
namespace {

Result<std::vector<engine::TokenId>> parse_tokens(std::string_view text) {
  std::vector<engine::TokenId> tokens;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    engine::TokenId id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc() || (next != end && *next != ','))
      return Status(StatusCode::invalid_argument,
                    fmt::format("is not a list of token ids such as 1,2,3 (at byte {})", at - text.data()), "--tokens");
    tokens.push_back(id);
    if (next == end) return tokens;
    at = next + 1;
  }
}

}  // namespace

int run_logits(const LogitsOptions& options) {
  Result<std::vector<engine::TokenId>> tokens = parse_tokens(options.tokens);
  if (!tokens) return report(tokens.status());
  Interrupt interrupt;
  Result<std::shared_ptr<const engine::Model>> model = load_model(options.model, interrupt.token());
  if (!model) return report(model.status());
  Result<std::unique_ptr<engine::Timeline>> timeline = engine::Timeline::create(*model, timeline_options(options.model));
  if (!timeline) return report(timeline.status());
  std::ofstream out(options.out, std::ios::binary);
  if (!out) return report(Status(StatusCode::io_error, "cannot be written", options.out));
  const size_t together = options.together > 0 ? options.together : tokens->size();
  for (size_t at = 0; at < tokens->size(); at += together) {
    const auto some = std::span<const engine::TokenId>(*tokens).subspan(at, std::min(together, tokens->size() - at));
    const Result<std::vector<float>> logits = (*timeline)->append_with_logits(some, interrupt.token());
    if (!logits) return report(logits.status());
    out.write(reinterpret_cast<const char*>(logits->data()), static_cast<std::streamsize>(logits->size() * sizeof(float)));
  }
  out.flush();
  if (!out) return report(Status(StatusCode::io_error, "cannot write the logits", options.out));
  fmt::print(stderr, "{} tokens x {} logits\n", tokens->size(), (*model)->info().vocabulary);
  return kExitOk;
}

}  // namespace wenqu::cli
