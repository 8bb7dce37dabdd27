// Memory in large pages, where the system has them: processors read it faster than memory in small ones.
#pragma once

#include <cstddef>

#include "base/status.h"

namespace wenqu {

// Zeroes at first; what is not written takes no memory. Moved, not copied. Errors: out_of_memory.
class LargePages {
 public:
  static Result<LargePages> allocate(size_t bytes);

  LargePages() = default;
  LargePages(LargePages&& other) noexcept;
  LargePages& operator=(LargePages&& other) noexcept;
  ~LargePages();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  LargePages(std::byte* data, size_t size) : data_(data), size_(size) {}

  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace wenqu
