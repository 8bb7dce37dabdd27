// Runs a program that reads one file and writes text, in a process of its own with limits, so that its crash or
// hang costs the host nothing. Thread safety: pure; any number at once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"

namespace wenqu::retrieval {

struct ChildLimits {
  double silent_seconds = 4;                   // of its processor time, without a byte of output
  double total_seconds = 60;                   // by the clock
  uint64_t max_output_bytes = uint64_t{64} << 20;
  uint64_t max_memory_bytes = uint64_t{1} << 30;   // of address space
};

// What it wrote to standard output. It gets `input` (from its begin) as standard input, and an empty standard error;
// it is found in PATH and gets no other part of the environment and no other file that is open here.
// Errors: not_found (no such program), corrupt (it failed or crashed: it could not read the file), limit_exceeded,
// io_error, cancelled, deadline_exceeded.
Result<std::string> run_child(const std::vector<std::string>& command, int input, const ChildLimits& limits,
                              const CancelToken& cancel);

}  // namespace wenqu::retrieval
