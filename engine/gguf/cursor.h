// Reads little-endian values from untrusted bytes; every read is checked against what is left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace wenqu::engine::gguf {

class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> data) : data_(data) {}

  size_t position() const { return position_; }
  uint64_t remaining() const { return data_.size() - position_; }

  // False, and nothing read, when too little is left.
  template <typename T>
  bool read(T& value) {
    if (remaining() < sizeof(T)) return false;
    std::memcpy(&value, data_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return true;
  }
  bool skip(uint64_t bytes) {
    if (remaining() < bytes) return false;
    position_ += bytes;
    return true;
  }
  // A length of 64 bits, then that many bytes.
  bool read_string(std::string_view& text) {
    uint64_t length;
    const size_t begin = position_;
    if (!read(length) || remaining() < length) {
      position_ = begin;
      return false;
    }
    text = {reinterpret_cast<const char*>(data_.data() + position_), static_cast<size_t>(length)};
    position_ += length;
    return true;
  }
  const std::byte* here() const { return data_.data() + position_; }

 private:
  std::span<const std::byte> data_;
  size_t position_ = 0;
};

}  // namespace wenqu::engine::gguf
