#include "tests/engine/cuda/emulated_kernels.h"

#include <boost/core/demangle.hpp>

#include <typeinfo>

#include "engine/cuda/kernel_list.h"

namespace wenqu::test {
namespace {

template <typename... Listed>
std::vector<Emulator::Kernel> of(KernelSet<Listed...>) {
  return {Emulator::kernel<Listed>(boost::core::demangle(typeid(Listed).name()))...};
}

}  // namespace

std::vector<Emulator::Kernel> emulated_kernels() { return of(Kernels()); }

}  // namespace wenqu::test
