// The kernels as compiled for the device, in the order of kernel_list.h.
#pragma once

#include <cstddef>

namespace wenqu::engine::cuda {

struct Entry {
  const void* function = nullptr;   // what cudaLaunchKernel takes
  size_t argument_bytes = 0;
};

const Entry* entries();
int entry_count();

}  // namespace wenqu::engine::cuda
