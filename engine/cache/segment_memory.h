// Where the segments of KV caches lie: in the process's own memory, or, of layers that a device computes, in the device's.
//
// Thread safety: all members from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/status.h"

namespace wenqu::engine {

class MemoryAccount;

// Keys and values of the same few tokens for all layers, first the first layer's. Shared by the caches that have it.
class Segment {
 public:
  virtual ~Segment() = default;
  // The bytes of the layers that the CPU computes, which are the model's first; nullptr: it computes none.
  std::byte* host() const { return host_.get(); }

 protected:
  explicit Segment(size_t host_bytes) : host_(host_bytes > 0 ? new std::byte[host_bytes] : nullptr) {}

 private:
  const std::unique_ptr<std::byte[]> host_;
};

class SegmentMemory {
 public:
  virtual ~SegmentMemory() = default;
  // A segment of so many bytes, charged to the account as long as it takes up this memory; nullptr: the account refuses,
  // or there is no memory left. May throw std::bad_alloc. Errors: what else the device tells.
  virtual Result<std::shared_ptr<Segment>> allocate(uint64_t bytes, const std::shared_ptr<MemoryAccount>& account) = 0;
  virtual Status copy(Segment& to, Segment& from) = 0;
  // All of a segment's bytes.
  virtual Status to_host(std::byte* to, Segment& from) = 0;
  virtual Status from_host(Segment& to, const std::byte* from) = 0;
};

}  // namespace wenqu::engine
