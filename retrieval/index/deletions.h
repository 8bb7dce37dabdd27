// Which Lucene documents of a segment are deleted, and the file that keeps it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "retrieval/store/byte_source.h"

namespace wenqu::retrieval {

class Deletions {
 public:
  explicit Deletions(uint32_t documents = 0) : size_(documents), bytes_(documents / 8 + 1) {}

  bool contains(uint32_t document) const { return bytes_[document / 8] >> document % 8 & 1; }
  // Gives whether it was alive.
  bool add(uint32_t document) {
    if (contains(document)) return false;
    bytes_[document / 8] = static_cast<uint8_t>(bytes_[document / 8] | 1u << document % 8);
    ++count_;
    return true;
  }
  uint32_t size() const { return size_; }
  uint32_t count() const { return count_; }
  // Bit `d % 8` of byte `d / 8` says whether d is deleted.
  const std::vector<uint8_t>& bytes() const { return bytes_; }

  // The content of a .del file of Lucene: all bits, or the bytes that are not zero, whichever is shorter.
  std::string encode() const;
  // Errors: corrupt when the file is of other than `documents` documents or counts wrong; io_error.
  static Result<Deletions> decode(ByteSource file, uint32_t documents);

 private:
  uint32_t size_;
  uint32_t count_ = 0;
  std::vector<uint8_t> bytes_;
};

}  // namespace wenqu::retrieval
