// Numbers and texts of the vectors' files: little-endian, texts with their length before them. Reading checks every
// length against what is left.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace wenqu::retrieval {

static_assert(std::endian::native == std::endian::little, "files are written as numbers lie in memory");

class BytesWriter {
 public:
  template <typename Number>
  void number(Number value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view value) {
    number(static_cast<uint32_t>(value.size()));
    bytes_ += value;
  }
  void raw(const void* data, size_t size) { bytes_.append(static_cast<const char*>(data), size); }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// After something was missing every value is 0 or empty, and good() false.
class BytesReader {
 public:
  explicit BytesReader(std::string_view bytes) : rest_(bytes) {}

  template <typename Number>
  Number number() {
    Number value{};
    if (const std::string_view taken = raw(sizeof value); good_) std::memcpy(&value, taken.data(), sizeof value);
    return value;
  }
  std::string_view text(size_t most) {
    const auto size = number<uint32_t>();
    if (size > most) good_ = false;
    return raw(size);
  }
  std::string_view raw(uint64_t size) {
    good_ = good_ && size <= rest_.size();
    if (!good_) return {};
    const std::string_view taken = rest_.substr(0, static_cast<size_t>(size));
    rest_.remove_prefix(static_cast<size_t>(size));
    return taken;
  }
  size_t left() const { return rest_.size(); }
  bool good() const { return good_; }
  bool done() const { return good_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

}  // namespace wenqu::retrieval
