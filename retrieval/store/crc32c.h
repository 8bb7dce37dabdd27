// CRC-32C (Castagnoli polynomial, as in iSCSI, RFC 3720 appendix B.4): the checksum of every file of
// an index. Pure; the SSE4.2 instruction is used where the processor has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace wenqu::retrieval {

// The checksum of the bytes that gave `crc` followed by `size` bytes at `data`. Starts from 0.
uint32_t crc32c(uint32_t crc, const void* data, size_t size);

inline uint32_t crc32c(std::string_view bytes) { return crc32c(0, bytes.data(), bytes.size()); }

// The portable form, for machines without the instruction and for tests.
uint32_t crc32c_portable(uint32_t crc, const void* data, size_t size);

}  // namespace wenqu::retrieval
