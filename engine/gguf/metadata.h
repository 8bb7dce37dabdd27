// The key-value part of a GGUF file, as views into the mapped bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "engine/gguf/cursor.h"

namespace wenqu::engine::gguf {

class Metadata {
 public:
  // Reads `count` pairs and leaves the cursor behind them. Errors: corrupt, with the key.
  Status read(Cursor& cursor, uint64_t count);

  bool has(std::string_view key) const { return entries_.contains(key); }
  std::optional<uint64_t> get_uint(std::string_view key) const;
  std::optional<int64_t> get_int(std::string_view key) const;
  std::optional<double> get_float(std::string_view key) const;
  std::optional<bool> get_bool(std::string_view key) const;
  std::optional<std::string_view> get_string(std::string_view key) const;
  std::optional<std::vector<std::string_view>> get_strings(std::string_view key) const;
  std::optional<std::vector<int64_t>> get_ints(std::string_view key) const;
  std::optional<std::vector<float>> get_floats(std::string_view key) const;
  std::vector<std::pair<std::string, std::string>> describe() const;

  // All keys in file order, and a value as it lies in the file: its type, then its content. Empty when absent.
  std::span<const std::string_view> keys() const { return order_; }
  std::span<const std::byte> raw(std::string_view key) const;

 private:
  enum class Kind : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
  struct Value {
    Kind kind = Kind::u8;
    Kind element = Kind::u8;           // of an array
    uint64_t count = 0;                // of an array
    const std::byte* data = nullptr;   // the scalar, or the array's first element
    std::string_view text;             // of a string
    std::span<const std::byte> raw;    // type and content
  };

  static size_t kind_bytes(Kind kind);   // 0 for strings and arrays
  Status read_value(Cursor& cursor, std::string_view key, Value& value);
  const Value* find(std::string_view key) const;
  static std::optional<int64_t> integer(Kind kind, const std::byte* data);
  static std::optional<double> real(Kind kind, const std::byte* data);
  std::string describe(const Value& value) const;

  std::unordered_map<std::string_view, Value> entries_;
  std::vector<std::string_view> order_;
};

}  // namespace wenqu::engine::gguf
