// Weights of a device, and what they were made of.
#pragma once

#include <random>

#include "engine/cuda/kernels/matvec.h"
#include "tests/engine/cuda/device_memory.h"
#include "tests/engine/cuda/weights_fixture.h"

namespace wenqu::test {

struct StackOf {
  RandomWeights host;
  Array<std::byte> data;
  Stack stack;
  StackOf(Device& device, engine::gguf::Type type, int matrices, int outputs, int inputs, std::mt19937& random)
      : host(type, matrices * outputs, inputs, random), data(device, host.device),
        stack{data.data(), host.row_bytes, host.row_bytes * static_cast<size_t>(outputs), inputs, outputs} {}
  double times(int matrix, int row, const float* x) const { return dot(host.row(matrix * stack.outputs + row, stack.inputs), x, stack.inputs); }
};

}  // namespace wenqu::test
