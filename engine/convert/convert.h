// `wenqu convert`: a model published as safetensors becomes a GGUF file.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"

namespace wenqu::engine::convert {

struct ConvertOptions {
  std::string folder, output;
  std::string mix;                                 // as in quant::find_mix
  std::string pre_tokenizer;                       // empty: recognised from tokenizer.json
  int threads = 0;                                 // 0: one for each core
  std::function<void(double fraction)> progress;   // may be empty
};

struct ConvertReport {
  std::string architecture;
  uint64_t tensors = 0, values = 0, bytes = 0;
  std::vector<std::string> left_over;              // tensors of the folder that the model has no place for
};

// Memory stays small whatever the size of the model: the folder is mapped, the file is written in pieces.
// Errors: those of the parts, each with the file, member or tensor; cancelled. Nothing is left of a file that failed.
Result<ConvertReport> convert(const ConvertOptions& options, const CancelToken& cancel);

}  // namespace wenqu::engine::convert
