// Kernels by number: a list of types, known alike to the code that launches them, to the module that holds them
// compiled for the device, and to the emulator of the tests.
#pragma once

#include <type_traits>

#include "engine/cuda/device.h"

namespace wenqu::engine::cuda {

template <typename... Kernels>
struct KernelSet {
  static constexpr int kCount = sizeof...(Kernels);

  template <typename Kernel>
  static constexpr int number() {
    int number = 0;
    const bool found = ((std::is_same_v<Kernel, Kernels> || (++number, false)) || ...);
    return found ? number : -1;
  }
};

template <typename... Sets>
struct JoinKernels;
template <typename... Kernels>
struct JoinKernels<KernelSet<Kernels...>> {
  using type = KernelSet<Kernels...>;
};
template <typename... A, typename... B, typename... Rest>
struct JoinKernels<KernelSet<A...>, KernelSet<B...>, Rest...> {
  using type = typename JoinKernels<KernelSet<A..., B...>, Rest...>::type;
};

// Blocks of a kernel that a multiprocessor should have room for; 0: as many as the compiler sees fit. A kernel with
// kMinBlocks needs its registers more than it needs company: without it the compiler moves some to memory.
template <typename Kernel>
constexpr int min_blocks() {
  if constexpr (requires { Kernel::kMinBlocks; }) return Kernel::kMinBlocks;
  return 0;
}

}  // namespace wenqu::engine::cuda
