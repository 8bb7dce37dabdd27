#include "engine/cpu/isa.h"

#include <cstdlib>
#include <string_view>

namespace wenqu::engine::cpu {
namespace {

Isa detect() {
  const char* forced = std::getenv("WENQU_ISA");
  if (forced && std::string_view(forced) == "scalar") return Isa::scalar;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) return Isa::avx2;
#endif
  return Isa::scalar;
}

}  // namespace

Isa best_isa() {
  static const Isa isa = detect();
  return isa;
}

}  // namespace wenqu::engine::cpu
