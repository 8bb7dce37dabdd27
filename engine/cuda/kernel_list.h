// All kernels, by number.
#pragma once

#include "engine/cuda/kernel.h"
#include "engine/cuda/kernels/attention.h"
#include "engine/cuda/kernels/cache_rows.h"
#include "engine/cuda/kernels/experts.h"
#include "engine/cuda/kernels/latents.h"
#include "engine/cuda/kernels/matmul.h"
#include "engine/cuda/kernels/matvec.h"
#include "engine/cuda/kernels/output.h"
#include "engine/cuda/kernels/router.h"
#include "engine/cuda/kernels/rows.h"
#include "engine/cuda/kernels/warpgroups.h"
#include "engine/cuda/weight_types.h"

namespace wenqu::engine::cuda {

template <gguf::Type type>
using TypeKernels = KernelSet<Embed<type>, MatMul<type>, GatedTiles<type>, HalfRows<type>>;

template <gguf::Type type, bool = warpgroups::takes(type)>
struct WarpgroupKernels {
  using Set = KernelSet<>;
};
template <gguf::Type type>
struct WarpgroupKernels<type, true> {
  using Set = KernelSet<WarpgroupMatMul<type>, WarpgroupGated<type>>;
};

#define WENQU_TYPE(name) , TypeKernels<gguf::Type::name>, WarpgroupKernels<gguf::Type::name>::Set
using WeightKernels = JoinKernels<KernelSet<> WENQU_WEIGHT_TYPES(WENQU_TYPE)>::type;
#undef WENQU_TYPE

// For one row and for several, which reads weights once for up to eight.
using FewRowKernels = KernelSet<MatVecs<1>, MatVecs<8>, RoundedMatVec, Gated, Down, RouteTokens>;
using RowKernels = KernelSet<RmsNorm, RoundRows, HalveRows, AddRows, SiluMultiply, ChooseExperts, SortByExpert, SumExperts>;
using CacheKernels = KernelSet<PlaceTokens, FewRows, FewWideRows, ManyRows, SomeWideRows, ManyWideRows, CombineSplits,
                               ExpandLatents>;

using OutputKernels = KernelSet<TakeRows, BestOfGroups, BestOfRow>;

using Kernels = JoinKernels<RowKernels, OutputKernels, FewRowKernels, CacheKernels, WeightKernels>::type;

// Launches a kernel of the list.
template <typename Kernel>
Status launch(Device& device, Grid grid, const typename Kernel::Arguments& arguments, size_t shared_bytes) {
  static_assert(Kernels::number<Kernel>() >= 0, "the kernel is not in the list");
  return device.launch({Kernels::number<Kernel>(), grid, Kernel::kThreads, shared_bytes, &arguments, sizeof arguments});
}
template <typename Kernel>
Status launch(Device& device, Grid grid, const typename Kernel::Arguments& arguments) {
  return launch<Kernel>(device, grid, arguments, static_cast<size_t>(Kernel::shared_bytes()));
}

}  // namespace wenqu::engine::cuda
