#include "base/system_memory.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

namespace wenqu {
namespace {

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// Calls `line` for each of a file's; false where there is none.
template <typename Line>
bool each_line(const std::string& path, const Line& line) {
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "re"));
  if (!file) return false;
  char text[4096];
  while (std::fgets(text, sizeof(text), file.get())) line(text);
  return true;
}

uint64_t system_memory() {
  unsigned long long kilobytes = 0;
  each_line("/proc/meminfo", [&](const char* line) { std::sscanf(line, "MemAvailable: %llu kB", &kilobytes); });
  return kilobytes << 10;
}

std::string own_group() {
  std::string group;
  each_line("/proc/self/cgroup", [&](const char* line) {
    if (std::strncmp(line, "0::", 3) == 0) group.assign(line + 3, std::strcspn(line + 3, "\n"));
  });
  return group;
}

}  // namespace

uint64_t memory_left_of_group(const std::string& root, std::string group) {
  uint64_t least = UINT64_MAX;
  for (;;) {
    const std::string folder = root + group;
    unsigned long long limit = 0, held = 0, files = 0;
    bool limited = false;
    each_line(folder + "/memory.max", [&](const char* line) { limited |= std::sscanf(line, "%llu", &limit) == 1; });
    if (limited && each_line(folder + "/memory.current", [&](const char* line) { std::sscanf(line, "%llu", &held); })) {
      each_line(folder + "/memory.stat", [&](const char* line) {
        unsigned long long bytes = 0;
        if (std::sscanf(line, "active_file %llu", &bytes) == 1 || std::sscanf(line, "inactive_file %llu", &bytes) == 1) files += bytes;
      });
      held -= std::min(held, files);
      least = std::min<uint64_t>(least, limit - std::min(limit, held));
    }
    const size_t slash = group.rfind('/');
    if (slash == group.npos) return least;
    group.resize(slash);
  }
}

uint64_t available_memory() noexcept try {
  const uint64_t system = system_memory(), group = memory_left_of_group("/sys/fs/cgroup", own_group());
  if (group == UINT64_MAX) return system;
  return system == 0 ? std::max<uint64_t>(group, 1) : std::min(system, std::max<uint64_t>(group, 1));
} catch (...) {
  return 0;   // no memory for a path's name
}

}  // namespace wenqu
