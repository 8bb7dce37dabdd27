#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "base/output_file.h"
#include "engine/gguf/file.h"
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

// The model is not lost to what it says.
Status check_not_model(const LogitsOptions& options) {
  WENQU_ASSIGN_OR_RETURN(const std::shared_ptr<const engine::gguf::File> file, engine::gguf::File::open(options.model.path));
  for (const std::string& part : file->paths()) {
    std::error_code error;
    if (std::filesystem::equivalent(part, options.out, error))
      return Status(StatusCode::invalid_argument, "is the model that is read: name another file", options.out);
  }
  return {};
}

// Logits that are no finite numbers, and where the first one is.
class Damage {
 public:
  // REQUIRES: the rows come in order, as whole ones.
  void look_at(std::span<const float> logits) {
    for (const float logit : logits) {
      if (!std::isfinite(logit) && count_++ == 0) first_ = seen_;
      ++seen_;
    }
  }
  bool any() const { return count_ > 0; }
  Status status(size_t vocabulary) const {
    if (count_ == 0) return {};
    return Status(StatusCode::corrupt, fmt::format("{} of {} logits are no finite numbers, the first behind token {} of the list, for the id {}: its "
                                                   "weights may be damaged; nothing is written", count_, seen_, first_ / vocabulary + 1, first_ % vocabulary));
  }

 private:
  size_t count_ = 0, seen_ = 0, first_ = 0;
};

}  // namespace

int run_logits(const LogitsOptions& options) {
  Result<std::vector<engine::TokenId>> tokens = parse_tokens(options.tokens);
  if (!tokens) return report(tokens.status());
  if (const Status usable = check_not_model(options); !usable) return report(usable);
  Interrupt interrupt;
  Result<std::shared_ptr<const engine::Model>> model = load_model(options.model, interrupt.token());
  if (!model) return report(model.status());
  Result<std::unique_ptr<engine::Timeline>> timeline = engine::Timeline::create(*model, timeline_options(options.model));
  if (!timeline) return report(timeline.status());
  Result<OutputFile> out = OutputFile::create_or_open(options.out);
  if (!out) return report(out.status());
  Damage damage;
  const size_t together = options.together > 0 ? options.together : tokens->size();
  for (size_t at = 0; at < tokens->size(); at += together) {
    const auto some = std::span<const engine::TokenId>(*tokens).subspan(at, std::min(together, tokens->size() - at));
    const Result<std::vector<float>> logits = (*timeline)->append_with_logits(some, interrupt.token());
    if (!logits) return report(logits.status());
    damage.look_at(*logits);
    if (damage.any()) continue;   // all of it is counted, and none goes into a pipe
    if (const Status written = out->write(std::as_bytes(std::span(*logits))); !written) return report(written);
  }
  const size_t vocabulary = (*model)->info().vocabulary;
  if (const Status sound = damage.status(vocabulary); !sound) return report(sound.at(options.model.path));
  if (const Status written = out->finish(); !written) return report(written);
  fmt::print(stderr, "{} tokens x {} logits\n", tokens->size(), vocabulary);
  return kExitOk;
}

}  // namespace wenqu::cli
