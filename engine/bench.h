// Measures how fast a model reads a prompt (prefill) and writes answers (decode), and how much of what the machine can
// do that is.
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
  size_t decode_tokens = 128;   // 0: no decode rows
  size_t sessions = 1;          // more: a row of so many that decode together, each at this depth
  size_t depth = 0;             // tokens that were read before
  size_t repetitions = 3;
  TimelineOptions timeline;
};

struct BenchRow {
  std::string test;                  // "pp512", "tg128", "tg128x4" of four sessions; "pp512@d1024" behind 1024 tokens
  size_t prompt_tokens = 0, decode_tokens = 0, sessions = 1, depth = 0;
  std::vector<double> samples;       // tokens a second of each repetition, of all sessions together
  double tokens_per_second = 0;      // their median
  double standard_deviation = 0;
  double bytes_per_second = 0;       // of weights, and in decode rows of the KV cache
  double operations_per_second = 0;  // of matrix products with weights: two for each parameter a token goes through
  // Of a model whose experts are read on demand.
  bool on_demand = false;
  double hit_rate = 1;               // experts that were in memory, of those wanted
  double read_per_token = 0;         // bytes brought in
  double waited = 0;                 // part of the time in which the model waited for that
};

struct BenchReport {
  double bandwidth = 0;              // bytes a second that the same threads read from memory, or that a GPU copies in its own; 0: unknown
  std::vector<BenchRow> rows;
};

// The tokens are fixed pseudo-random ids: speed does not depend on what they say, except that a mixture of experts
// spreads them over its experts; how many of these a batch reads is reckoned, not counted. Errors: those of
// Timeline::append; out_of_memory; limit_exceeded when the system gives no threads for the sessions.
Result<BenchReport> run_bench(std::shared_ptr<const Model> model, const BenchOptions& options,
                              const CancelToken& cancel);

}  // namespace wenqu::engine
