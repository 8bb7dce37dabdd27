#include "base/large_pages.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/page_advice.h"

namespace wenqu {

Result<LargePages> LargePages::allocate(size_t bytes) {
  if (bytes == 0) return LargePages();
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return Status(StatusCode::out_of_memory, fmt::format("the system gives no {} MiB: {}", (bytes + (1 << 20) - 1) >> 20, std::strerror(errno)));
  LargePages pages(static_cast<std::byte*>(memory), bytes);
  prefer_large_pages({pages.data_, bytes});
  return pages;
}

LargePages::LargePages(LargePages&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

LargePages& LargePages::operator=(LargePages&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

LargePages::~LargePages() {
  if (data_) ::munmap(data_, size_);
}

}  // namespace wenqu
