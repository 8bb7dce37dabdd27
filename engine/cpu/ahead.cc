#if defined(__x86_64__)

#include "engine/cpu/ahead.h"

namespace wenqu::engine::cpu {
namespace {

// Zen 4 and later read long runs ahead by themselves; being asked for every line keeps them from it (docs/performance.md).
constexpr size_t kLong = 128 << 10;

}  // namespace

Ahead ahead_in(size_t bytes, bool in_order) {
  static const bool reads_ahead = __builtin_cpu_is("amd") && __builtin_cpu_supports("avx512f");
  if (!reads_ahead) return {};
  return {.second_cache = 0, .first_cache = bytes >= kLong && in_order ? size_t{0} : 2048};
}

}  // namespace wenqu::engine::cpu

#endif  // __x86_64__
