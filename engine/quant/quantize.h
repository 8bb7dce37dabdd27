// How numbers are packed into blocks: the inverse of cpu::dequantize_row.
//
// Scales (and minima) are searched: for each block or sub-block several are tried, each is refitted to the
// whole numbers that come of it by weighted least squares, and the one with the smallest weighted squared
// error stays. A value's weight is its magnitude plus the block's root mean square, since large weights
// matter more to a model's output. The figures written are those that reading gives back: a scale is
// rounded to half precision first, and the whole numbers are chosen for the rounded one.
//
// The same values give the same bytes, whatever the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "engine/gguf/type.h"

namespace wenqu::engine::quant {

// Writes n values as n / block blocks. REQUIRES: n is a multiple of the type's block.
//
// Errors: invalid_argument, with the number of the value in where(), for a value that is not finite and for one
// that is beyond what the type holds: 65504 for F16, that times the largest whole number for types whose scales
// are half floats. Nothing is saturated. Values too small for the type's scales become multiples of the
// smallest scale, and zero in the end.
Status quantize_row(gguf::Type type, const float* values, size_t n, std::byte* out);

}  // namespace wenqu::engine::quant
