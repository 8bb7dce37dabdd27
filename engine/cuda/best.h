// The best of rows of logits, by the kernels of kernels/output.h.
//
// Thread safety: that of the device. Pointers are of the device's memory, the caller's.
#pragma once

#include <cstddef>

#include "base/status.h"
#include "engine/cuda/device.h"
#include "engine/cuda/kernels/output.h"

namespace wenqu::engine::cuda {

// Bytes that best_logits() needs for itself.
size_t best_logits_scratch(int rows, int vocabulary);

// What BestOfRow tells of each row. logits: [rows][vocabulary]; wanted: [rows], none with a count above `most`; out:
// [rows][1 + most]; scratch: best_logits_scratch() bytes, aligned to 256. Errors: what Device::launch() gives.
Status best_logits(Device& device, const float* logits, int rows, int vocabulary, const BestWanted* wanted, int most, void* scratch, Word2* out);

}  // namespace wenqu::engine::cuda
