#include "engine/cpu/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <cstdlib>
#include <string_view>

namespace wenqu::engine::cpu {
namespace {

#if defined(__x86_64__)
// Asked of the processor itself: Clang before 16 does not take the name in __builtin_cpu_supports.
bool has_f16c() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

Isa detect() {
  const char* forced = std::getenv("WENQU_ISA");
  if (forced && std::string_view(forced) == "scalar") return Isa::scalar;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) return Isa::avx2;
#endif
  return Isa::scalar;
}

}  // namespace

Isa best_isa() {
  static const Isa isa = detect();
  return isa;
}

}  // namespace wenqu::engine::cpu
