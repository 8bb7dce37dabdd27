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
  const char* const at = reinterpret_cast<const char*>(p);
  if (ahead.second_cache > 0)
    for (size_t line = 0; line < kBytes; line += 64) _mm_prefetch(at + line + ahead.second_cache, _MM_HINT_T1);
  if (ahead.first_cache > 0)
    for (size_t line = 0; line < kBytes; line += 64) _mm_prefetch(at + line + ahead.first_cache, _MM_HINT_T0);
}

}  // namespace
}  // namespace wenqu::engine::cpu
