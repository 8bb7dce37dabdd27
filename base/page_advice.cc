#include "base/page_advice.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22   // Linux 5.14
#endif

namespace wenqu {
namespace {

// About the pages that the bytes lie on.
bool advise(std::span<const std::byte> bytes, int advice) {
  if (bytes.empty()) return true;
  const uintptr_t page = page_bytes();
  const uintptr_t begin = reinterpret_cast<uintptr_t>(bytes.data()) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(bytes.data()) + bytes.size() + page - 1) / page * page;
  return ::madvise(reinterpret_cast<void*>(begin), end - begin, advice) == 0;
}

}  // namespace

size_t page_bytes() {
  static const size_t bytes = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

std::span<const std::byte> whole_pages(std::span<const std::byte> bytes) {
  const uintptr_t page = page_bytes(), first = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t begin = (first + page - 1) / page * page, end = (first + bytes.size()) / page * page;
  if (begin >= end) return {};
  return bytes.subspan(begin - first, end - begin);
}

void expect_no_order(std::span<const std::byte> bytes) {
  advise(whole_pages(bytes), MADV_RANDOM);
}

void prefer_large_pages(std::span<const std::byte> bytes) {
  advise(bytes, MADV_HUGEPAGE);
}

void ask_for(std::span<const std::byte> bytes) {
  advise(bytes, MADV_WILLNEED);
}

void bring_in(std::span<const std::byte> bytes) {
  if (advise(bytes, MADV_POPULATE_READ)) return;
  // An older system: touching a page brings it in.
  for (size_t at = 0; at < bytes.size(); at += page_bytes()) static_cast<void>(*reinterpret_cast<const volatile std::byte*>(bytes.data() + at));
  static_cast<void>(*reinterpret_cast<const volatile std::byte*>(&bytes.back()));
}

void let_go(std::span<const std::byte> bytes) {
  advise(bytes, MADV_DONTNEED);
}

}  // namespace wenqu
