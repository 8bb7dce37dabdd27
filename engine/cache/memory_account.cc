#include "engine/cache/memory_account.h"

#include "base/system_memory.h"

namespace wenqu::engine {

bool MemoryAccount::try_charge(uint64_t bytes) noexcept {
  if (limit_ == kNoLimit) {
    const uint64_t free = available_memory();
    if (free > 0 && bytes > free) return false;
    used_.fetch_add(bytes, std::memory_order_relaxed);
    return true;
  }
  uint64_t used = this->used();
  do {
    if (used > limit_ - kept_ || bytes > limit_ - kept_ - used) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  return true;
}

bool MemoryAccount::charge(uint64_t bytes) noexcept {
  while (!try_charge(bytes))
    if (!give_way_ || !give_way_()) return false;
  if (granted_) granted_();
  return true;
}

}  // namespace wenqu::engine
