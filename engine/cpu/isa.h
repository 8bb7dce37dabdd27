// Which instruction set the kernels use, chosen once from what the processor has. The environment
// variable WENQU_ISA=scalar forces the plain kernels, for tests and comparisons.
#pragma once

namespace wenqu::engine::cpu {

enum class Isa {
  scalar,   // plain x86-64
  avx2,     // AVX2, FMA, F16C
};

// Thread safety: any thread.
Isa best_isa();

}  // namespace wenqu::engine::cpu
