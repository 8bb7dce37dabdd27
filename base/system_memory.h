// Memory of the machine.
#pragma once

#include <cstdint>

namespace wenqu {

// Bytes the system can give without swapping; 0 when it does not say.
uint64_t available_memory() noexcept;

}  // namespace wenqu
