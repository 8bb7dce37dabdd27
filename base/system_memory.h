// Memory of the machine.
#pragma once

#include <cstdint>
#include <string>

namespace wenqu {

// Bytes the system can give without swapping, and the group of processes (cgroup v2) that this one belongs to may still
// take; 0 when neither says.
uint64_t available_memory() noexcept;

// What a group and those above it leave: the least of their limits less what they hold, but for files' pages, which can be
// dropped. root: where groups are mounted; group: a path below it, as /proc/self/cgroup has it. UINT64_MAX: no limit.
uint64_t memory_left_of_group(const std::string& root, std::string group);

}  // namespace wenqu
