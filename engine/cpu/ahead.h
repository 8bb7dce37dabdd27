// Asks for weights before they are used: first into the second cache, far enough ahead to keep the memory busy, then
// into the first.
//
// Everything here has internal linkage, as it is compiled for several instruction sets.
#pragma once

#include <immintrin.h>

#include <cstddef>

namespace wenqu::engine::cpu {
namespace {

constexpr size_t kFarAhead = 4096, kAhead = 1024;

// GCC 12 takes a function that does nothing else for one without effect, and leaves out calls that it has not inlined.
template <size_t kBytes>
__attribute__((always_inline)) inline void ask_ahead(const std::byte* p) {
  const char* const at = reinterpret_cast<const char*>(p);
  for (size_t line = 0; line < kBytes; line += 64) {
    _mm_prefetch(at + line + kFarAhead, _MM_HINT_T1);
    _mm_prefetch(at + line + kAhead, _MM_HINT_T0);
  }
}

}  // namespace
}  // namespace wenqu::engine::cpu
