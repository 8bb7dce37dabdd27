#include "engine/cuda/module/entries.h"

#include "engine/cuda/cuda_machine.h"
#include "engine/cuda/kernel_list.h"

namespace wenqu::engine::cuda {
namespace {

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, min_blocks<Kernel>()) entry(const __grid_constant__ typename Kernel::Arguments arguments) {
  CudaMachine machine;
  Kernel::run(machine, arguments);
}

template <typename Set>
struct Table;
template <typename... Listed>
struct Table<KernelSet<Listed...>> {
  static const Entry* get() {
    static const Entry entries[] = {{reinterpret_cast<const void*>(&entry<Listed>), sizeof(typename Listed::Arguments)}...};
    return entries;
  }
};

}  // namespace

const Entry* entries() { return Table<Kernels>::get(); }
int entry_count() { return Kernels::kCount; }

}  // namespace wenqu::engine::cuda
