// The kernels of quantized types for each instruction set: their place in the table (kernels.h). Each set's file is
// compiled for it alone and may be called only where the processor has it.
#pragma once

#include "engine/cpu/kernels.h"

namespace wenqu::engine::cpu {

void use_avx2_products(Kernels& kernels);
void use_avx512_products(Kernels& kernels);   // AVX-512 F, BW, DQ, VL and VNNI
void use_amx_products(Kernels& kernels);      // the same, and AMX with 8-bit integers

}  // namespace wenqu::engine::cpu
