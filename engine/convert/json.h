// JSON files that come with a model, read with every value checked: each error says the file and the member.
//
// Thread safety: immutable after reading. Lifetime: an Object lives as long as the document it looks into.
#pragma once

#include <rapidjson/document.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace wenqu::engine::convert {

using Json = rapidjson::Value;

inline std::string_view text_of(const Json& value) { return {value.GetString(), value.GetStringLength()}; }

// One JSON object and its place, such as "config.json: rope_scaling".
class Object {
 public:
  Object(const Json& value, std::string place) : value_(&value), place_(std::move(place)) {}

  // nullptr for what is absent or null.
  const Json* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  Status wrong(std::string_view name, std::string what) const;   // corrupt, at the member
  Status unsupported(std::string_view name, std::string what) const;

  // Each leaves `out` as it is when the member is absent; need_... makes that an error.
  template <typename Number>
  Status may_count(std::string_view name, uint64_t low, uint64_t high, Number& out) const {
    uint64_t value = 0;
    WENQU_RETURN_IF_ERROR(count(name, low, high, value));
    if (has(name)) out = static_cast<Number>(value);
    return {};
  }
  template <typename Number>
  Status need_count(std::string_view name, uint64_t low, uint64_t high, Number& out) const {
    if (!has(name)) return wrong(name, "is missing");
    return may_count(name, low, high, out);
  }
  Status may_real(std::string_view name, double low, double high, double& out) const;
  Status need_real(std::string_view name, double low, double high, double& out) const;
  Status may_flag(std::string_view name, bool& out) const;
  Status may_text(std::string_view name, std::string& out) const;
  // nullopt when absent. Errors: corrupt (no object).
  Result<std::optional<Object>> object(std::string_view name) const;

  const Json& value() const { return *value_; }
  const std::string& place() const { return place_; }

 private:
  Status count(std::string_view name, uint64_t low, uint64_t high, uint64_t& out) const;

  const Json* value_;
  std::string place_;
};

// Errors: corrupt (no JSON, no object, nested too deeply; with the byte).
Result<std::shared_ptr<const rapidjson::Document>> parse_json_object(std::string_view text, std::string_view place);

// A whole file. Errors: not_found, io_error, limit_exceeded (larger than any such file is), corrupt.
Result<std::shared_ptr<const rapidjson::Document>> read_json_object(const std::string& path);

}  // namespace wenqu::engine::convert
