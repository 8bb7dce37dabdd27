#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "engine/quant/requantize.h"
#include "sdk/cli/commands.h"
#include "sdk/cli/interrupt.h"

namespace wenqu::cli {

int run_quantize(const QuantizeOptions& options) {
  Interrupt interrupt;
  engine::quant::RequantizeOptions work;
  work.input = options.input;
  work.output = options.output;
  work.mix = options.type;
  work.threads = options.threads;
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  if (terminal) work.progress = [](double fraction) { fmt::print(stderr, "\rquantizing: {:3.0f}%", fraction * 100); };
  const Result<engine::quant::RequantizeReport> done = engine::quant::requantize(work, interrupt.token());
  if (terminal) fmt::print(stderr, "\r\033[K");
  if (!done) return report(done.status());
  if (done->already_quantized > 0)
    fmt::print(stderr, "wenqu: {} tensors of {} were quantized already: their errors stay, and new ones come on top\n",
               done->already_quantized, options.input);
  const auto mib = [](uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  fmt::print("{}: {:.1f} MiB of {:.1f}, {:.2f} bits a value\n", options.output, mib(done->output_bytes), mib(done->input_bytes),
             static_cast<double>(done->output_bytes) * 8 / static_cast<double>(std::max<uint64_t>(done->values, 1)));
  return kExitOk;
}

}  // namespace wenqu::cli
