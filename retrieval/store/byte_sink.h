// Bytes on their way into a file of an index, with the numbers of Lucene's formats: big-endian integers, and
// whole numbers seven bits at a time (VInt). Kept in memory, or written to a file as they grow.
//
// Thread safety: one thread at a time. The first write that fails is kept for finish().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "retrieval/store/file.h"

namespace wenqu::retrieval {

class ByteSink {
 public:
  ByteSink() = default;  // keeps everything in memory
  explicit ByteSink(std::shared_ptr<File> file) : file_(std::move(file)) {}

  void put(uint8_t byte) { bytes_ += static_cast<char>(byte); }
  void put_number(uint64_t value) {
    for (; value >= 0x80; value >>= 7) put(static_cast<uint8_t>(value | 0x80));
    put(static_cast<uint8_t>(value));
  }
  void put_int32(uint32_t value);
  void put_int64(uint64_t value);
  void put_bytes(std::string_view bytes) {
    bytes_ += bytes;
    if (file_ && bytes_.size() >= kFlushBytes) flush();
  }
  // A length and so many bytes.
  void put_string(std::string_view bytes) {
    put_number(bytes.size());
    put_bytes(bytes);
  }
  // Writes out what is due; to be called now and then, where many small puts are made.
  void settle() {
    if (file_ && bytes_.size() >= kFlushBytes) flush();
  }
  // Replaces eight bytes that were put before.
  void patch_int64(uint64_t offset, uint64_t value);

  uint64_t position() const { return written_ + bytes_.size(); }
  // Everything is with the file afterwards.
  Status finish();
  // REQUIRES: kept in memory
  const std::string& bytes() const { return bytes_; }
  void clear() { bytes_.clear(); }

 private:
  static constexpr size_t kFlushBytes = size_t{1} << 18;
  void flush();

  std::shared_ptr<File> file_;
  std::string bytes_;      // not with the file yet
  uint64_t written_ = 0;
  Status status_;
};

}  // namespace wenqu::retrieval
