#include "retrieval/store/byte_sink.h"

namespace wenqu::retrieval {
namespace {

std::string big_endian(uint64_t value, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
  return out;
}

}  // namespace

void ByteSink::put_int32(uint32_t value) { bytes_ += big_endian(value, 4); }
void ByteSink::put_int64(uint64_t value) { bytes_ += big_endian(value, 8); }

void ByteSink::patch_int64(uint64_t offset, uint64_t value) {
  const std::string bytes = big_endian(value, 8);
  if (offset < written_) flush();
  if (offset >= written_)
    bytes_.replace(static_cast<size_t>(offset - written_), bytes.size(), bytes);
  else if (status_)
    status_ = file_->write_at(offset, bytes);
}

void ByteSink::flush() {
  if (status_) status_ = file_->write_at(written_, bytes_);
  written_ += bytes_.size();
  bytes_.clear();
}

Status ByteSink::finish() {
  if (file_ && !bytes_.empty()) flush();
  return status_;
}

}  // namespace wenqu::retrieval
