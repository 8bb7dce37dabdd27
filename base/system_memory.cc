#include "base/system_memory.h"

#include <cstdio>

namespace wenqu {

uint64_t available_memory() noexcept {
  std::FILE* file = std::fopen("/proc/meminfo", "re");
  if (!file) return 0;
  unsigned long long kilobytes = 0;
  char line[256];
  while (std::fgets(line, sizeof(line), file))
    if (std::sscanf(line, "MemAvailable: %llu kB", &kilobytes) == 1) break;
  std::fclose(file);
  return kilobytes << 10;
}

}  // namespace wenqu
