// Reads the hyper-parameters of one architecture from a file's metadata: each key under the architecture's prefix,
// held against the bounds that its use asks for.
//
// Thread safety: immutable. Lifetime: the file outlives it.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/gguf/file.h"

namespace wenqu::engine {

// No real model comes near these, and nothing overflows below them.
inline constexpr uint64_t kMaxLayers = 1024, kMaxWidth = 1 << 20, kMaxHeads = 4096;

class MetadataReader {
 public:
  MetadataReader(const gguf::File& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  std::string place(std::string_view key) const { return fmt::format("metadata key '{}{}'", prefix_, key); }
  Status wrong(std::string_view key, std::string what) const { return Status(StatusCode::corrupt, std::move(what), place(key)); }

  template <typename Number>
  Status need(std::string_view key, uint64_t low, uint64_t high, Number& out) const {
    if (!file_.has(prefix_ + std::string(key))) return wrong(key, "is missing");
    return may(key, low, high, out);
  }
  template <typename Number>
  Status may(std::string_view key, uint64_t low, uint64_t high, Number& out) const {
    const std::string name = prefix_ + std::string(key);
    if (!file_.has(name)) return {};
    const auto value = file_.get_uint(name);
    if (!value) return wrong(key, "is no whole number");
    if (*value < low || *value > high) return wrong(key, fmt::format("is {}, not between {} and {}", *value, low, high));
    out = static_cast<Number>(*value);
    return {};
  }
  Status may_real(std::string_view key, double low, double high, double& out) const {
    const std::string name = prefix_ + std::string(key);
    if (!file_.has(name)) return {};
    const auto value = file_.get_float(name);
    if (!value) return wrong(key, "is no number");
    if (!(*value >= low && *value <= high)) return wrong(key, fmt::format("is {}, not between {} and {}", *value, low, high));
    out = *value;
    return {};
  }
  Status may_flag(std::string_view key, bool& out) const {
    const std::string name = prefix_ + std::string(key);
    if (!file_.has(name)) return {};
    const auto value = file_.get_bool(name);
    if (!value) return wrong(key, "is no boolean");
    out = *value;
    return {};
  }
  Status may_text(std::string_view key, std::string_view& out) const {
    const std::string name = prefix_ + std::string(key);
    if (!file_.has(name)) return {};
    const auto value = file_.get_string(name);
    if (!value) return wrong(key, "is no text");
    out = *value;
    return {};
  }
  bool has(std::string_view key) const { return file_.has(prefix_ + std::string(key)); }

 private:
  const gguf::File& file_;
  std::string prefix_;
};

}  // namespace wenqu::engine
