// The types of weights that there are kernels for, in one list.
#pragma once

#include "engine/gguf/type.h"

// X(name) for each of them, the name being gguf::Type's.
#define WENQU_WEIGHT_TYPES(X)                                                                                     \
  X(f32) X(f16) X(bf16) X(q8_0) X(q4_0) X(q4_1) X(q5_0) X(q5_1) X(iq4_nl) X(q2_k) X(q3_k) X(q4_k) X(q5_k) X(q6_k) \
  X(iq4_xs)
