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

namespace wenqu::engine::cuda {

template <gguf::Type type>
using TypeKernels = KernelSet<Embed<type>, MatMul<type>, GatedTiles<type>, HalfRows<type>>;

using gguf::Type;
using WeightKernels = JoinKernels<
    TypeKernels<Type::f32>, TypeKernels<Type::f16>, TypeKernels<Type::bf16>, TypeKernels<Type::q8_0>, TypeKernels<Type::q4_0>,
    TypeKernels<Type::q4_1>, TypeKernels<Type::q5_0>, TypeKernels<Type::q5_1>, TypeKernels<Type::iq4_nl>, TypeKernels<Type::q2_k>,
    TypeKernels<Type::q3_k>, TypeKernels<Type::q4_k>, TypeKernels<Type::q5_k>, TypeKernels<Type::q6_k>, TypeKernels<Type::iq4_xs>>::type;

// For one row and for several, which reads weights once for up to eight.
using FewRowKernels = KernelSet<MatVecs<1>, MatVecs<8>, RoundedMatVec, Gated, Down, RouteTokens>;
using RowKernels = KernelSet<RmsNorm, RoundRows, AddRows, SiluMultiply, ChooseExperts, SortByExpert, SumExperts>;
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
