// The product of two vectors, which for vectors of length 1 is the cosine of their angle.
//
// Pure; AVX2 is used where the processor has it, which changes last digits.
#pragma once

#include <cstddef>

namespace wenqu::retrieval {

using DotFunction = float (*)(const float* a, const float* b, size_t n);

// The fastest one that this processor runs.
DotFunction dot_function();

// The portable one, for other machines and for tests.
float dot_portable(const float* a, const float* b, size_t n);

}  // namespace wenqu::retrieval
