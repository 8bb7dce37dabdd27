// What sessions hold of a model's memory budget: whoever allocates for a session charges it here first and is refused
// when the budget is spent, instead of being ended by the system later.
//
// Before it refuses, the account asks those who keep memory for convenience to give way (the prefix cache); after
// it has granted something, it tells those who live on what is left (the experts in memory).
//
// Thread safety: all members from any thread; set_hooks() before the account is shared.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "engine/cache/segment_memory.h"

namespace wenqu::engine {

class MemoryAccount {
 public:
  static constexpr uint64_t kNoLimit = UINT64_MAX;

  // limit: bytes in all, of which `kept` can not be charged. Without a limit, what the system has free at the
  // moment of a charge is. memory: where KV caches lie that are charged here; nullptr: in the process's own.
  explicit MemoryAccount(uint64_t limit = kNoLimit, uint64_t kept = 0, std::shared_ptr<SegmentMemory> memory = nullptr)
      : limit_(limit), kept_(kept < limit ? kept : limit), memory_(std::move(memory)) {}

  SegmentMemory* memory() const { return memory_.get(); }

  // give_way() frees something and tells whether it could; granted() is called after a charge. Neither may throw or
  // charge the account.
  void set_hooks(std::function<bool()> give_way, std::function<void()> granted) {
    give_way_ = std::move(give_way);
    granted_ = std::move(granted);
  }

  // False when so many bytes cannot be had; nothing is charged then.
  bool charge(uint64_t bytes) noexcept;
  void release(uint64_t bytes) noexcept { used_.fetch_sub(bytes, std::memory_order_relaxed); }

  uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  uint64_t limit() const { return limit_; }
  uint64_t chargeable() const { return limit_ - kept_; }
  // Of the limit, what nobody has charged.
  uint64_t left() const {
    const uint64_t used = this->used();
    return used < limit_ ? limit_ - used : 0;
  }

 private:
  bool try_charge(uint64_t bytes) noexcept;

  const uint64_t limit_, kept_;
  const std::shared_ptr<SegmentMemory> memory_;
  std::atomic<uint64_t> used_{0};
  std::function<bool()> give_way_;
  std::function<void()> granted_;
};

// A charge that is given back with the object. Empty: none.
class MemoryCharge {
 public:
  MemoryCharge() = default;
  // Check with operator bool: false when it was refused. Without an account nothing is counted.
  MemoryCharge(std::shared_ptr<MemoryAccount> account, uint64_t bytes) noexcept : bytes_(bytes) {
    granted_ = !account || account->charge(bytes);
    if (granted_) account_ = std::move(account);
  }
  MemoryCharge(MemoryCharge&& other) noexcept
      : account_(std::move(other.account_)), bytes_(other.bytes_), granted_(other.granted_) {}
  MemoryCharge& operator=(MemoryCharge&& other) noexcept {
    std::swap(account_, other.account_), std::swap(bytes_, other.bytes_), std::swap(granted_, other.granted_);
    return *this;
  }
  ~MemoryCharge() {
    if (account_) account_->release(bytes_);
  }
  explicit operator bool() const { return granted_; }

 private:
  std::shared_ptr<MemoryAccount> account_;
  uint64_t bytes_ = 0;
  bool granted_ = true;
};

}  // namespace wenqu::engine
