// Vectors as JSON: each number in the fewest digits that give it back.
//
// Thread safety: pure.
#pragma once

#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <span>
#include <string>

namespace wenqu::retrieval {

// REQUIRES: finite numbers
inline void put_vector(rapidjson::Writer<rapidjson::StringBuffer>& out, std::span<const float> vector) {
  out.StartArray();
  for (const float value : vector) {
    const std::string digits = fmt::format("{}", value);
    out.RawValue(digits.data(), digits.size(), rapidjson::kNumberType);
  }
  out.EndArray();
}

}  // namespace wenqu::retrieval
