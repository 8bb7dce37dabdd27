// Packs a tensor of any size into a file with little memory: piece by piece, each shared by the threads.
#pragma once

#include <functional>
#include <string_view>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/cpu/thread_pool.h"
#include "engine/gguf/writer.h"

namespace wenqu::engine::quant {

// Puts the tensor's values [first, first + count), counted through all rows, into out. `first` is a multiple of 256.
// Called by several threads at once.
using ValueSource = std::function<Status(uint64_t first, uint64_t count, float* out)>;

// What goes on around the work on a file.
struct Progress {
  std::function<void(double fraction)> report;   // may be empty
  CancelToken cancel;
  uint64_t total = 0, done = 0;                  // values of all tensors

  // Errors: cancelled.
  Status advance(uint64_t values);
};

// Writes the `values` values of a tensor. REQUIRES: they are whole blocks of the type.
// Errors: invalid_argument (a value that the type cannot hold: the tensor, row and column), those of the source and the
// writer, cancelled.
Status write_tensor(gguf::Writer& writer, std::string_view name, gguf::Type type, uint64_t row_values, uint64_t values,
                    const ValueSource& source, cpu::ThreadPool& threads, Progress& progress);

}  // namespace wenqu::engine::quant
