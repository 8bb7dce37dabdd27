#include "engine/cpu/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <strings.h>

#include <cstdlib>

namespace wenqu::engine::cpu {
namespace {

#if defined(__x86_64__)
// Asked of the processor itself: Clang before 16 does not take the name in __builtin_cpu_supports.
bool has_f16c() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(); }

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

// Linux keeps tile registers from processes that have not asked for them (Documentation/arch/x86/xstate.rst).
bool has_amx() {
  constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;   // leaf 7, EDX
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  unsigned a, b, c, d;
  if (!has_avx512() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & kTile) || !(d & kInt8)) return false;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

bool detect(Isa isa) {
#if defined(__x86_64__)
  switch (isa) {
    case Isa::scalar: return true;
    case Isa::avx2: return has_avx2();
    case Isa::avx512: return has_avx512();
    case Isa::amx: return has_amx();
  }
#endif
  return isa == Isa::scalar;
}

Isa detect_best() {
  const char* most = std::getenv("WENQU_ISA");
  Isa best = Isa::scalar;
  for (const Isa isa : kIsas) {
    if (is_supported(isa)) best = isa;
    if (most && ::strcasecmp(most, name(isa)) == 0) break;
  }
  return best;
}

}  // namespace

const char* name(Isa isa) {
  switch (isa) {
    case Isa::scalar: return "scalar";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::amx: return "amx";
  }
  return "";
}

bool is_supported(Isa isa) {
  if (isa != Isa::amx) return detect(isa);
  static const bool amx = detect(isa);
  return amx;
}

Isa best_isa() {
  static const Isa isa = detect_best();
  return isa;
}

}  // namespace wenqu::engine::cpu
