#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "engine/convert/convert.h"
#include "sdk/cli/commands.h"
#include "sdk/cli/interrupt.h"

namespace wenqu::cli {
namespace {

constexpr size_t kShown = 10;   // tensors that are told by name

void tell_left_over(const std::vector<std::string>& names) {
  for (size_t i = 0; i < names.size() && i < kShown; ++i)
    fmt::print(stderr, "wenqu: tensor '{}' has no place in the model and is left out\n", names[i]);
  if (names.size() > kShown) fmt::print(stderr, "wenqu: ... and {} more\n", names.size() - kShown);
}

}  // namespace

int run_convert(const ConvertOptions& options) {
  Interrupt interrupt;
  engine::convert::ConvertOptions work;
  work.folder = options.folder;
  work.output = options.output;
  work.mix = options.type;
  work.pre_tokenizer = options.pre_tokenizer;
  work.threads = options.threads;
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  if (terminal) work.progress = [](double fraction) { fmt::print(stderr, "\rconverting: {:3.0f}%", fraction * 100); };
  const Result<engine::convert::ConvertReport> done = engine::convert::convert(work, interrupt.token());
  if (terminal) fmt::print(stderr, "\r\033[K");
  if (!done) return report(done.status());
  tell_left_over(done->left_over);
  fmt::print("{}: {}, {} tensors, {:.1f} MiB, {:.2f} bits a value\n", options.output, done->architecture, done->tensors,
             static_cast<double>(done->bytes) / (1 << 20),
             static_cast<double>(done->bytes) * 8 / static_cast<double>(std::max<uint64_t>(done->values, 1)));
  return done->left_over.empty() ? kExitOk : kExitPartial;
}

}  // namespace wenqu::cli
