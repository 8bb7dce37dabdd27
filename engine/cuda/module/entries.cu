#include "engine/cuda/module/entries.h"

#include "engine/cuda/cuda_machine.h"
#include "engine/cuda/kernel_list.h"

namespace wenqu::engine::cuda {
namespace {

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, min_blocks<Kernel>()) entry(const __grid_constant__ typename Kernel::Arguments arguments) {
#if __CUDA_ARCH__ >= 900
  // Programmatic dependent launch: the next kernel's blocks come to the device while this one's last are at work, and wait
  // here until those are done and what they wrote can be seen.
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" : : : "memory");
#endif
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
