// The kernels of the list, compiled for the emulator.
#pragma once

#include <vector>

#include "tests/engine/cuda/emulator.h"

namespace wenqu::test {

std::vector<Emulator::Kernel> emulated_kernels();

}  // namespace wenqu::test
