// Asks for weights before they are used: first into the second cache, far enough ahead to keep the memory busy, then
// into the first.
//
// ask_ahead() has internal linkage, as it is compiled for several instruction sets.
#pragma once

#include <immintrin.h>

#include <cstddef>

namespace wenqu::engine::cpu {

// How far before they are used, in bytes; 0: not at all.
struct Ahead {
  size_t second_cache = 4096;
  size_t first_cache = 1024;
};

// What this processor gains by in weights that lie one after the other. in_order: they are read from begin to end too.
Ahead ahead_in(size_t bytes, bool in_order);

namespace {

// GCC 12 takes a function that does nothing else for one without effect, and leaves out calls that it has not inlined.
template <size_t kBytes>
__attribute__((always_inline)) inline void ask_ahead(const std::byte* p, const Ahead& ahead) {
  const auto ask = [&]<auto kHint>(size_t distance) __attribute__((always_inline)) {
    const char* at = reinterpret_cast<const char*>(p) + distance;
    if constexpr (kBytes > 64) __asm__("" : "+r"(at));   // one register for all lines: GCC would keep a distance for each
    for (size_t line = 0; line < kBytes; line += 64) _mm_prefetch(at + line, kHint);
  };
  if (ahead.second_cache > 0) ask.template operator()<_MM_HINT_T1>(ahead.second_cache);
  if (ahead.first_cache > 0) ask.template operator()<_MM_HINT_T0>(ahead.first_cache);
}

}  // namespace
}  // namespace wenqu::engine::cpu
