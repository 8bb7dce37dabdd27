// What each instruction set adds to the table of kernels (kernels.h). Its files are compiled for it alone, and may be
// called only where the processor has it (isa.h).
#pragma once

#include "engine/cpu/kernels.h"

namespace wenqu::engine::cpu {

void use_avx2_products(Kernels& kernels);
void use_avx512_floats(Kernels& kernels);
void use_avx512_products(Kernels& kernels);
void use_amx_products(Kernels& kernels);

}  // namespace wenqu::engine::cpu
