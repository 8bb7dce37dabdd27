#include "retrieval/store/byte_source.h"

#include <algorithm>

namespace wenqu::retrieval {
namespace {

constexpr uint64_t kBufferBytes = 64 * 1024;

}  // namespace

void ByteSource::fail(Status why) {
  if (status_) status_ = std::move(why);
  next_ = end_;
  buffer_.clear();
  at_ = 0;
}

bool ByteSource::fill() {
  if (!status_) return false;
  const uint64_t wanted = std::min(kBufferBytes, end_ - next_);
  if (wanted == 0) {
    fail(Status(StatusCode::corrupt, "read past the end of its content", file_ ? file_->path() : std::string()));
    return false;
  }
  buffer_.resize(static_cast<size_t>(wanted));
  at_ = 0;
  if (Status read = file_->read_at(next_, buffer_.data(), buffer_.size()); !read) {
    fail(std::move(read));
    return false;
  }
  next_ += wanted;
  return true;
}

uint64_t ByteSource::number() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const uint8_t byte = get();
    value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  fail(Status(StatusCode::corrupt, "a number is too long", file_->path()));
  return 0;
}

uint32_t ByteSource::int32() {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | get();
  return value;
}

uint64_t ByteSource::int64() {
  const uint64_t high = int32();
  return high << 32 | int32();
}

void ByteSource::bytes(uint64_t size, std::string& out) {
  out.clear();
  if (size > left()) {
    fail(Status(StatusCode::corrupt, "a length leads past the end", file_ ? file_->path() : std::string()));
    return;
  }
  while (out.size() < size) {
    if (at_ == buffer_.size() && !fill()) {
      out.clear();
      return;
    }
    const size_t part = std::min<size_t>(buffer_.size() - at_, static_cast<size_t>(size) - out.size());
    out.append(buffer_, at_, part);
    at_ += part;
  }
}

void ByteSource::seek(uint64_t position) {
  if (!status_) return;
  const uint64_t place = begin_ + position;
  if (position > size()) {
    fail(Status(StatusCode::corrupt, "a pointer leads past the end", file_ ? file_->path() : std::string()));
    return;
  }
  const uint64_t first = next_ - buffer_.size();
  if (place >= first && place <= next_) {
    at_ = static_cast<size_t>(place - first);
    return;
  }
  next_ = place;
  buffer_.clear();
  at_ = 0;
}

}  // namespace wenqu::retrieval
