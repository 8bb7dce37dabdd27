// `wenqu quantize`: a model file written again with other types.
#pragma once

#include <functional>
#include <string>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/quant/mix.h"

namespace wenqu::engine::quant {

struct RequantizeOptions {
  std::string input, output;
  std::string mix;                                 // as in find_mix
  int threads = 0;                                 // 0: one for each core
  std::function<void(double fraction)> progress;   // may be empty
};

struct RequantizeReport {
  uint64_t input_bytes = 0, output_bytes = 0;      // of tensors
  uint64_t values = 0;
  uint64_t already_quantized = 0;                  // tensors whose values came from blocks, not from floats
};

// Memory stays small whatever the size of the files. Metadata is copied, except what speaks of types and parts.
// Errors: invalid_argument (the mix, the output is the input, a value that the type cannot hold), those of
// File::open and OutputFile, cancelled. Nothing is left of a file that failed.
Result<RequantizeReport> requantize(const RequantizeOptions& options, const CancelToken& cancel);

}  // namespace wenqu::engine::quant
