// What reading one file may cost, whatever the file says of itself.
#pragma once

#include <cstdint>

namespace wenqu::retrieval {

inline constexpr uint64_t kMaxPartBytes = uint64_t{64} << 20;       // one part of an archive, unpacked
inline constexpr uint64_t kMaxUnpackedBytes = uint64_t{256} << 20;  // all parts that are read of one archive
inline constexpr uint64_t kMaxArchiveParts = 20'000;
inline constexpr uint64_t kMaxTextBytesOfFile = uint64_t{64} << 20; // text taken out of one file
inline constexpr int kMaxXmlDepth = 256;
inline constexpr int kMaxMailDepth = 16;
inline constexpr int kMaxMailParts = 1'000;

}  // namespace wenqu::retrieval
