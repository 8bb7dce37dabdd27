#include "engine/gguf/metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/utf8.h"

namespace wenqu::engine::gguf {
namespace {

constexpr size_t kMaxKeyBytes = 65535;   // the format's own limit
constexpr size_t kShownBytes = 96, kShownElements = 6;

template <typename T>
T load(const std::byte* data) {
  T value;
  std::memcpy(&value, data, sizeof(T));
  return value;
}

Status broken(std::string_view key, std::string what) {
  return Status(StatusCode::corrupt, std::move(what), fmt::format("metadata key '{}'", utf8_sanitize(key)));
}

}  // namespace

size_t Metadata::kind_bytes(Kind kind) {
  switch (kind) {
    case Kind::u8: case Kind::i8: case Kind::boolean: return 1;
    case Kind::u16: case Kind::i16: return 2;
    case Kind::u32: case Kind::i32: case Kind::f32: return 4;
    case Kind::u64: case Kind::i64: case Kind::f64: return 8;
    case Kind::string: case Kind::array: return 0;
  }
  return 0;
}

Status Metadata::read_value(Cursor& cursor, std::string_view key, Value& value) {
  uint32_t kind;
  if (!cursor.read(kind)) return broken(key, "the file ends before its type");
  if (kind > static_cast<uint32_t>(Kind::f64)) return broken(key, fmt::format("unknown value type {}", kind));
  value.kind = static_cast<Kind>(kind);
  if (value.kind == Kind::string) {
    if (!cursor.read_string(value.text)) return broken(key, "its string is longer than the file");
    return {};
  }
  if (value.kind != Kind::array) {
    value.data = cursor.here();
    if (!cursor.skip(kind_bytes(value.kind))) return broken(key, "the file ends inside its value");
    return {};
  }
  uint32_t element;
  if (!cursor.read(element) || !cursor.read(value.count)) return broken(key, "the file ends inside its array header");
  if (element > static_cast<uint32_t>(Kind::f64)) return broken(key, fmt::format("unknown array type {}", element));
  value.element = static_cast<Kind>(element);
  if (value.element == Kind::array) return broken(key, "arrays inside arrays are not supported");
  value.data = cursor.here();
  if (value.element == Kind::string) {
    // Each string takes at least its length's eight bytes, so a count beyond that is a lie.
    if (value.count > cursor.remaining() / sizeof(uint64_t))
      return broken(key, fmt::format("claims {} strings, more than the file can hold", value.count));
    std::string_view text;
    for (uint64_t i = 0; i < value.count; ++i)
      if (!cursor.read_string(text)) return broken(key, fmt::format("string {} is longer than the file", i));
    return {};
  }
  const size_t bytes = kind_bytes(value.element);
  if (value.count > cursor.remaining() / bytes)
    return broken(key, fmt::format("claims {} elements, more than the file can hold", value.count));
  cursor.skip(value.count * bytes);
  return {};
}

Status Metadata::read(Cursor& cursor, uint64_t count) {
  // A pair takes at least a key's length, one byte of key, a type and one byte of value.
  if (count > cursor.remaining() / 14)
    return Status(StatusCode::corrupt, fmt::format("claims {} metadata keys, more than the file can hold", count), "header");
  for (uint64_t i = 0; i < count; ++i) {
    std::string_view key;
    if (!cursor.read_string(key))
      return Status(StatusCode::corrupt, "is longer than the file", fmt::format("metadata key number {}", i));
    if (key.empty() || key.size() > kMaxKeyBytes || !utf8_is_valid(key) || key.find('\0') != key.npos)
      return Status(StatusCode::corrupt, "is empty, too long or not text", fmt::format("metadata key number {}", i));
    Value value;
    const std::byte* const begin = cursor.here();
    WENQU_RETURN_IF_ERROR(read_value(cursor, key, value));
    value.raw = {begin, cursor.here()};
    if (!entries_.emplace(key, value).second) return broken(key, "appears twice");
    order_.push_back(key);
  }
  return {};
}

const Metadata::Value* Metadata::find(std::string_view key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

std::span<const std::byte> Metadata::raw(std::string_view key) const {
  const Value* value = find(key);
  return value ? value->raw : std::span<const std::byte>();
}

std::optional<int64_t> Metadata::integer(Kind kind, const std::byte* data) {
  switch (kind) {
    case Kind::u8: return load<uint8_t>(data);
    case Kind::i8: return load<int8_t>(data);
    case Kind::u16: return load<uint16_t>(data);
    case Kind::i16: return load<int16_t>(data);
    case Kind::u32: return load<uint32_t>(data);
    case Kind::i32: return load<int32_t>(data);
    case Kind::i64: return load<int64_t>(data);
    case Kind::u64: {
      const uint64_t value = load<uint64_t>(data);
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
      return static_cast<int64_t>(value);
    }
    default: return std::nullopt;
  }
}

std::optional<double> Metadata::real(Kind kind, const std::byte* data) {
  if (kind == Kind::f32) return load<float>(data);
  if (kind == Kind::f64) return load<double>(data);
  const auto whole = integer(kind, data);
  return whole ? std::optional<double>(static_cast<double>(*whole)) : std::nullopt;
}

std::optional<int64_t> Metadata::get_int(std::string_view key) const {
  const Value* value = find(key);
  return value ? integer(value->kind, value->data) : std::nullopt;
}

std::optional<uint64_t> Metadata::get_uint(std::string_view key) const {
  const Value* value = find(key);
  if (!value) return std::nullopt;
  if (value->kind == Kind::u64) return load<uint64_t>(value->data);
  const auto whole = integer(value->kind, value->data);
  return whole && *whole >= 0 ? std::optional<uint64_t>(static_cast<uint64_t>(*whole)) : std::nullopt;
}

std::optional<double> Metadata::get_float(std::string_view key) const {
  const Value* value = find(key);
  return value ? real(value->kind, value->data) : std::nullopt;
}

std::optional<bool> Metadata::get_bool(std::string_view key) const {
  const Value* value = find(key);
  if (!value || value->kind != Kind::boolean) return std::nullopt;
  return load<uint8_t>(value->data) != 0;
}

std::optional<std::string_view> Metadata::get_string(std::string_view key) const {
  const Value* value = find(key);
  if (!value || value->kind != Kind::string) return std::nullopt;
  return value->text;
}

std::optional<std::vector<std::string_view>> Metadata::get_strings(std::string_view key) const {
  const Value* value = find(key);
  if (!value || value->kind != Kind::array || value->element != Kind::string) return std::nullopt;
  std::vector<std::string_view> strings;
  strings.reserve(value->count);
  const std::byte* at = value->data;
  for (uint64_t i = 0; i < value->count; ++i) {   // lengths were checked by read_value
    const uint64_t length = load<uint64_t>(at);
    strings.emplace_back(reinterpret_cast<const char*>(at + sizeof(uint64_t)), length);
    at += sizeof(uint64_t) + length;
  }
  return strings;
}

std::optional<std::vector<int64_t>> Metadata::get_ints(std::string_view key) const {
  const Value* value = find(key);
  if (!value || value->kind != Kind::array) return std::nullopt;
  std::vector<int64_t> numbers;
  const size_t bytes = kind_bytes(value->element);
  if (bytes == 0) return std::nullopt;
  numbers.reserve(value->count);
  for (uint64_t i = 0; i < value->count; ++i) {
    const auto number = integer(value->element, value->data + i * bytes);
    if (!number) return std::nullopt;
    numbers.push_back(*number);
  }
  return numbers;
}

std::optional<std::vector<float>> Metadata::get_floats(std::string_view key) const {
  const Value* value = find(key);
  if (!value || value->kind != Kind::array) return std::nullopt;
  const size_t bytes = kind_bytes(value->element);
  if (bytes == 0) return std::nullopt;
  std::vector<float> numbers;
  numbers.reserve(value->count);
  for (uint64_t i = 0; i < value->count; ++i) {
    const auto number = real(value->element, value->data + i * bytes);
    if (!number) return std::nullopt;
    numbers.push_back(static_cast<float>(*number));
  }
  return numbers;
}

std::string Metadata::describe(const Value& value) const {
  const auto shown = [](std::string_view text) {
    std::string line = utf8_sanitize(text.substr(0, utf8_complete_prefix(text.substr(0, kShownBytes))));
    for (char& c : line)
      if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    return text.size() > kShownBytes ? fmt::format("\"{}\"... ({} bytes)", line, text.size()) : "\"" + line + "\"";
  };
  switch (value.kind) {
    case Kind::string: return shown(value.text);
    case Kind::boolean: return load<uint8_t>(value.data) ? "true" : "false";
    case Kind::u64: return fmt::format("{}", load<uint64_t>(value.data));
    case Kind::f32: case Kind::f64: return fmt::format("{:g}", *real(value.kind, value.data));
    case Kind::array: break;
    default: return fmt::format("{}", *integer(value.kind, value.data));
  }
  std::string list;
  const uint64_t count = std::min<uint64_t>(value.count, kShownElements);
  const std::byte* at = value.data;
  for (uint64_t i = 0; i < count; ++i) {
    if (i > 0) list += ", ";
    if (value.element == Kind::string) {
      const uint64_t length = load<uint64_t>(at);
      list += shown({reinterpret_cast<const char*>(at + sizeof(uint64_t)), length});
      at += sizeof(uint64_t) + length;
    } else {
      Value element;
      element.kind = value.element;
      element.data = at;
      list += describe(element);
      at += kind_bytes(value.element);
    }
  }
  return value.count > count ? fmt::format("[{}, ...] ({} elements)", list, value.count) : "[" + list + "]";
}

std::vector<std::pair<std::string, std::string>> Metadata::describe() const {
  std::vector<std::pair<std::string, std::string>> lines;
  for (std::string_view key : order_) lines.emplace_back(std::string(key), describe(*find(key)));
  return lines;
}

}  // namespace wenqu::engine::gguf
