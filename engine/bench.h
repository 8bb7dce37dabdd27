// Measures how fast a model reads a prompt (prefill) and writes an answer (decode).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/timeline.h"

namespace wenqu::engine {

struct BenchOptions {
  size_t prompt_tokens = 512;   // 0: no prefill row
  size_t decode_tokens = 128;   // 0: no decode row
  size_t depth = 0;             // tokens that were read before either
  size_t repetitions = 3;
  TimelineOptions timeline;
};

struct BenchRow {
  std::string test;                  // "pp512", "tg128"; "pp512@d1024" behind 1024 tokens
  double tokens_per_second = 0;      // median over the repetitions
  double standard_deviation = 0;
  double bytes_per_second = 0;       // weights read, decode only
};

// The tokens are fixed pseudo-random ids: speed does not depend on what they say, except that a
// mixture of experts spreads them over its experts.
Result<std::vector<BenchRow>> run_bench(std::shared_ptr<const Model> model, const BenchOptions& options, const CancelToken& cancel);

}  // namespace wenqu::engine
