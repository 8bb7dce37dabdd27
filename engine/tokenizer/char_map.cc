#include "engine/tokenizer/char_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/utf8.h"

namespace wenqu::engine {
namespace {

constexpr size_t kMaxMatch = 64;          // bytes; real rules have a dozen
constexpr size_t kMaxReplacement = 128;   // bytes, so that a text cannot become many times as long; real ones have 33 at most

// A unit of the array: a node's label, where its children begin, and whether it has a value; or the value.
bool has_value(uint32_t unit) { return (unit >> 8) & 1; }
uint32_t value_of(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t label_of(uint32_t unit) { return unit & 0x800000FF; }
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

}  // namespace

Result<CharMap> CharMap::parse(std::string_view bytes) {
  const Status corrupt(StatusCode::corrupt, "is no table of replacements", "metadata key 'tokenizer.ggml.precompiled_charsmap'");
  if (bytes.empty()) return CharMap();
  uint32_t size = 0;
  if (bytes.size() < sizeof size) return corrupt;
  std::memcpy(&size, bytes.data(), sizeof size);
  bytes.remove_prefix(sizeof size);
  if (size == 0 || size % sizeof(uint32_t) || size > bytes.size()) return corrupt;
  CharMap map;
  map.units_.resize(size / sizeof(uint32_t));
  std::memcpy(map.units_.data(), bytes.data(), size);
  const std::string_view replacements = bytes.substr(size);
  for (size_t begin = 0, end = 0; begin < replacements.size(); begin = end + 1) {
    end = std::min(replacements.find('\0', begin), replacements.size());
    if (end - begin > kMaxReplacement)
      return Status(StatusCode::corrupt, fmt::format("has a replacement of {} bytes; {} are allowed", end - begin, kMaxReplacement), corrupt.where());
  }
  map.replacements_ = replacements;
  map.replacements_ += '\0';
  return map;
}

CharMap::Match CharMap::longest(std::string_view text) const {
  Match best;
  if (units_.empty()) return best;
  uint32_t node = offset_of(units_[0]);
  for (size_t i = 0; i < text.size() && i < kMaxMatch; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || label_of(units_[node]) != byte) break;
    const uint32_t unit = units_[node];
    node ^= offset_of(unit);
    if (!has_value(unit)) continue;
    if (node >= units_.size()) break;
    const uint32_t at = value_of(units_[node]);
    if (at < replacements_.size()) best = {i + 1, std::string_view(replacements_.c_str() + at)};
  }
  return best;
}

std::string CharMap::apply(std::string_view text) const {
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    const Match match = longest(text.substr(pos));
    if (match.length > 0) {
      out += match.replacement;
      pos += match.length;
    } else {
      utf8_append(out, utf8_next(text, pos));
    }
  }
  return out;
}

}  // namespace wenqu::engine
