// Where the segments of KV caches lie when it is not the process's own memory: on a device that computes with them.
//
// Thread safety: all members from any thread.
#pragma once

#include <cstddef>
#include <memory>

#include "base/status.h"

namespace wenqu::engine {

class SegmentMemory {
 public:
  virtual ~SegmentMemory() = default;
  // nullptr: there is none left. Given back with the last pointer to it.
  virtual std::shared_ptr<std::byte[]> allocate(size_t bytes) = 0;
  virtual Status copy(std::byte* to, const std::byte* from, size_t bytes) = 0;   // within this memory
  virtual Status to_host(std::byte* to, const std::byte* from, size_t bytes) = 0;
  virtual Status from_host(std::byte* to, const std::byte* from, size_t bytes) = 0;
};

}  // namespace wenqu::engine
