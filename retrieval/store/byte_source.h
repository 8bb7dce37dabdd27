// Reads a stretch of an index file from front to back, with the numbers of Lucene's formats. Every read is held
// against the end of the stretch: past it, and after a read that failed, there are only zeros, and status() tells.
//
// Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "retrieval/store/file.h"

namespace wenqu::retrieval {

class ByteSource {
 public:
  ByteSource() = default;  // empty
  // The bytes [begin, end) of the file.
  ByteSource(std::shared_ptr<const File> file, uint64_t begin, uint64_t end)
      : file_(std::move(file)), begin_(begin), end_(end), next_(begin) {}

  uint8_t get() {
    if (at_ == buffer_.size() && !fill()) return 0;
    return static_cast<uint8_t>(buffer_[at_++]);
  }
  uint64_t number();
  uint32_t int32();
  uint64_t int64();
  // Replaces `out`; empty where fewer bytes are left.
  void bytes(uint64_t size, std::string& out);

  uint64_t size() const { return end_ - begin_; }
  uint64_t position() const { return next_ - begin_ - (buffer_.size() - at_); }
  uint64_t left() const { return size() - position(); }
  void seek(uint64_t position);
  bool failed() const { return !status_; }
  // Errors: corrupt (read past the end), io_error.
  const Status& status() const { return status_; }

 private:
  bool fill();
  void fail(Status why);

  std::shared_ptr<const File> file_;
  uint64_t begin_ = 0;
  uint64_t end_ = 0;
  uint64_t next_ = 0;    // place in the file of what follows the buffer
  std::string buffer_;
  size_t at_ = 0;
  Status status_;
};

}  // namespace wenqu::retrieval
