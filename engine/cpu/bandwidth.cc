#include "engine/cpu/bandwidth.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace wenqu::engine::cpu {
namespace {

constexpr size_t kPiece = 1 << 20, kLine = 64, kAhead = 1024;
constexpr size_t kSmallest = 256 << 20, kLargest = size_t{1} << 30;
constexpr int kPasses = 6;

// Twice the largest cache at least, and a quarter of the free memory at most.
size_t buffer_bytes() {
  const auto asked = [](int name) { return static_cast<size_t>(std::max(0L, ::sysconf(name))); };
  const size_t free = asked(_SC_AVPHYS_PAGES) * asked(_SC_PAGESIZE);
#ifdef _SC_LEVEL3_CACHE_SIZE
  const size_t cache = std::max(asked(_SC_LEVEL3_CACHE_SIZE), asked(_SC_LEVEL2_CACHE_SIZE));
#else
  const size_t cache = 0;
#endif
  return std::min(std::clamp(2 * cache, kSmallest, kLargest), free / 4) / kPiece * kPiece;
}

// Asking ahead helps some processors and keeps others from doing so by themselves.
template <bool kAsk>
uint64_t sum(const uint64_t* words, size_t bytes) {
  uint64_t sums[kLine / sizeof(uint64_t)] = {};
  for (size_t at = 0; at < bytes; at += kLine, words += kLine / sizeof(uint64_t)) {
    if constexpr (kAsk) __builtin_prefetch(reinterpret_cast<const char*>(words) + kAhead);
    for (size_t i = 0; i < kLine / sizeof(uint64_t); ++i) sums[i] += words[i];
  }
  uint64_t total = 0;
  for (uint64_t part : sums) total += part;
  return total;
}

}  // namespace

double read_bandwidth(ThreadPool& pool) {
  const size_t bytes = buffer_bytes();
  if (bytes == 0) return 0;
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 0;
  ::madvise(memory, bytes, MADV_HUGEPAGE);   // only to have it sooner
  auto* const words = static_cast<uint64_t*>(memory);
  const size_t pieces = bytes / kPiece, words_per_piece = kPiece / sizeof(uint64_t);
  // Written, or every page would be the same one of zeros.
  pool.run(pieces, 1, [&](size_t begin, size_t) {
    std::fill_n(words + begin * words_per_piece, words_per_piece, begin);
  });
  std::atomic<uint64_t> total{0};   // keeps the reads
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto begun = std::chrono::steady_clock::now();
    pool.run(pieces, 1, [&](size_t begin, size_t) {
      const uint64_t* const piece = words + begin * words_per_piece;
      total.fetch_add(pass % 2 ? sum<true>(piece, kPiece) : sum<false>(piece, kPiece), std::memory_order_relaxed);
    });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    best = std::max(best, static_cast<double>(bytes) / seconds);
  }
  ::munmap(memory, bytes);
  return best;
}

}  // namespace wenqu::engine::cpu
