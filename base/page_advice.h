// What the system is told about pages, of a mapped file above all: which are wanted soon, and which may leave this
// process's memory. Advice never changes what is read there: a page that has left comes back when it is touched.
//
// Thread safety: all functions from any thread, on overlapping bytes too.
#pragma once

#include <cstddef>
#include <span>

namespace wenqu {

size_t page_bytes();
// How many bytes before and behind a touched one the system may map with it, when it has them in its cache: a large
// folio since Linux 6.18, 64 KiB before.
inline constexpr size_t kMappedAround = 2 << 20;

// Bytes of the pages that lie wholly inside; may be empty.
std::span<const std::byte> whole_pages(std::span<const std::byte> bytes);

// They will be read in no order the system can guess: it reads nothing around what is touched.
void expect_no_order(std::span<const std::byte> bytes);

// They will be used again and again: what is not in memory yet comes in large pages, where the system has them; of a file
// where its file system has them too (Linux 6.18 with ext4, for one). Processors read memory faster so.
void prefer_large_pages(std::span<const std::byte> bytes);

// Asks for them to be read from disk, and does not wait for all.
void ask_for(std::span<const std::byte> bytes);

// Returns when they are in memory and mapped, as far as the system could read them.
void bring_in(std::span<const std::byte> bytes);

// Takes every page that one of the bytes lies on out of this process's memory. The system may go on keeping it in its
// cache of files as long as nobody needs the memory. REQUIRES: a read-only mapping of a file.
void let_go(std::span<const std::byte> bytes);

}  // namespace wenqu
