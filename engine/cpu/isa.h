// Which instruction set the kernels use, chosen once from what the processor has. The environment
// variable WENQU_ISA=scalar|avx2|avx512|amx (in any case) chooses none above that, for tests and comparisons; the program
// refuses another value.
#pragma once

#include <array>

namespace wenqu::engine::cpu {

// Each has all that those before it have.
enum class Isa {
  scalar,   // plain x86-64
  avx2,     // AVX2, FMA, F16C
  avx512,   // AVX-512 F, BW, DQ, VL, VNNI
  amx,      // AMX-TILE, AMX-INT8: matrices of bytes
};
inline constexpr std::array kIsas = {Isa::scalar, Isa::avx2, Isa::avx512, Isa::amx};

const char* name(Isa isa);

// The first call for AMX asks the system to let this process use it, for threads made from then on too.
// Thread safety: any thread.
bool is_supported(Isa isa);
Isa best_isa();

}  // namespace wenqu::engine::cpu
