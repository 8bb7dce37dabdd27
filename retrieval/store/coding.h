// Numbers and strings as bytes: numbers in LEB128, strings with their length before them. Reading checks every length.
// Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace wenqu::retrieval {

inline void put_number(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

inline void put_string(std::string& out, std::string_view value) {
  put_number(out, value.size());
  out += value;
}

// Reads what put_* wrote; after the first thing that does not fit it gives only zeros.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : bytes_(bytes) {}

  uint64_t number() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    fail();
    return 0;
  }

  uint32_t small_number() {
    const uint64_t value = number();
    if (value > UINT32_MAX) fail();
    return static_cast<uint32_t>(value);
  }

  std::string string() {
    const uint64_t size = number();
    if (size > bytes_.size()) {
      fail();
      return {};
    }
    std::string value(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return value;
  }

  bool failed() const { return failed_; }
  bool has_more() const { return !bytes_.empty(); }
  bool finished() const { return !failed_ && bytes_.empty(); }
  void fail() {
    failed_ = true;
    bytes_ = {};
  }

 private:
  std::string_view bytes_;
  bool failed_ = false;
};

}  // namespace wenqu::retrieval
