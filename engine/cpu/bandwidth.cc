#include "engine/cpu/bandwidth.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "base/system_memory.h"

namespace wenqu::engine::cpu {
namespace {

constexpr size_t kPiece = 1 << 20, kLine = 64;
constexpr size_t kSmallest = 256 << 20, kLargest = size_t{1} << 30;
constexpr int kPasses = 9;

// Twice the largest cache, or 0 where that is more than half of the free memory: what fits into a cache would tell its speed.
size_t buffer_bytes() {
  const auto asked = [](int name) { return static_cast<size_t>(std::max(0L, ::sysconf(name))); };
#ifdef _SC_LEVEL3_CACHE_SIZE
  const size_t cache = std::max(asked(_SC_LEVEL3_CACHE_SIZE), asked(_SC_LEVEL2_CACHE_SIZE));
#else
  const size_t cache = 0;
#endif
  const size_t bytes = std::clamp(2 * cache, kSmallest, kLargest) / kPiece * kPiece;
  const uint64_t free = available_memory();
  return free == 0 || bytes <= free / 2 ? bytes : 0;
}

// Asking ahead helps some processors, doing so twice others, as the kernels do, and keeps yet others from doing so by themselves.
template <size_t kFirstCache, size_t kSecondCache>
uint64_t sum(const uint64_t* words, size_t bytes) {
  uint64_t sums[kLine / sizeof(uint64_t)] = {};
  for (size_t at = 0; at < bytes; at += kLine, words += kLine / sizeof(uint64_t)) {
    if constexpr (kSecondCache > 0) __builtin_prefetch(reinterpret_cast<const char*>(words) + kSecondCache, 0, 2);
    if constexpr (kFirstCache > 0) __builtin_prefetch(reinterpret_cast<const char*>(words) + kFirstCache, 0, 3);
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
  constexpr uint64_t (*kWays[])(const uint64_t*, size_t) = {sum<0, 0>, sum<1024, 0>, sum<1024, 4096>};
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto way = kWays[pass % 3];
    const auto begun = std::chrono::steady_clock::now();
    pool.run(pieces, 1, [&](size_t begin, size_t) {
      const uint64_t* const piece = words + begin * words_per_piece;
      total.fetch_add(way(piece, kPiece), std::memory_order_relaxed);
    });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    best = std::max(best, static_cast<double>(bytes) / seconds);
  }
  ::munmap(memory, bytes);
  return best;
}

}  // namespace wenqu::engine::cpu
