// The CUDA module: a shared object with the kernels and the toolkit's runtime, loaded only when an NVIDIA driver is
// there. Nothing else of wenqu needs CUDA.
//
// It is looked for at $WENQU_CUDA_MODULE; or as libwenqu-cuda.so beside the library or program that this code is part of, in the
// folder of libraries next to it (../lib), and on the loader's path. It must be of the same sources.
#pragma once

#include <memory>

#include "engine/cuda/device.h"

namespace wenqu::engine::cuda {

// What the module exports, as `wenqu_cuda_module`.
struct Module {
  char interface[17] = {};     // digest of the headers that both share (interface.cmake); the rest is read when it is this build's
  uint32_t status_bytes = 0;   // sizeof(Status): whether both were built alike
  Result<int> (*count)() = nullptr;
  Result<Device*> (*open)(int index) = nullptr;   // the caller's
};

// The GPU of that number. Thread safety: any thread. Errors: not_found (no driver, no module, no such GPU: with what to
// do), version_mismatch (a module of other sources), unsupported (a GPU older than the kernels).
Result<std::shared_ptr<Device>> open_device(int index);

// How many GPUs there are, or why none can be used.
Result<int> count_devices();

}  // namespace wenqu::engine::cuda
