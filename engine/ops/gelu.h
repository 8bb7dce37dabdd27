// The Gaussian error linear unit (Hendrycks, Gimpel 2016) in its exact form: x * (1 + erf(x / sqrt(2))) / 2.
#pragma once

#include <cstddef>

namespace wenqu::engine::ops {

// values[i] = gelu(values[i]). The error function is Abramowitz and Stegun's 7.1.26, within 2e-7, in a form that
// compilers turn into vectors.
void gelu(float* values, size_t n);

}  // namespace wenqu::engine::ops
