#include "engine/convert/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "base/utf8.h"
#include "engine/convert/json.h"

namespace wenqu::engine::convert {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;   // the format's own limit
constexpr size_t kMaxDimensions = 8, kMaxName = 1024;

Status bad(std::string_view name, std::string what) {
  return Status(StatusCode::corrupt, std::move(what), fmt::format("tensor '{}'", utf8_sanitize(name)));
}

// Bytes of a shape in a number format. False when no file could hold them.
bool size_of(const SafetensorsEntry& entry, uint64_t& bytes) {
  bytes = entry.dtype->bits / 8;
  for (const uint64_t n : entry.shape)
    if (__builtin_mul_overflow(bytes, n, &bytes)) return false;
  return true;
}

Result<SafetensorsEntry> read_entry(std::string_view name, const Json& value, std::span<const std::byte> data) {
  if (name.empty() || name.size() > kMaxName) return bad(name.substr(0, 64), "has no usable name");
  if (!value.IsObject()) return bad(name, "is described by no object");
  const Object object(value, fmt::format("tensor '{}'", name));
  SafetensorsEntry entry;
  entry.name = name;
  const Json *dtype = object.find("dtype"), *shape = object.find("shape"), *offsets = object.find("data_offsets");
  if (!dtype || !dtype->IsString()) return bad(name, "has no dtype");
  entry.dtype = find_dtype(text_of(*dtype));
  if (!entry.dtype)
    return object.unsupported("dtype", fmt::format("is '{}', which is not known", utf8_sanitize(text_of(*dtype).substr(0, 64))));
  if (!shape || !shape->IsArray() || shape->Size() > kMaxDimensions) return bad(name, "has no shape of up to 8 dimensions");
  for (const Json& n : shape->GetArray()) {
    if (!n.IsUint64()) return bad(name, "has a shape that is not of whole numbers");
    entry.shape.push_back(n.GetUint64());
  }
  if (!offsets || !offsets->IsArray() || offsets->Size() != 2 || !(*offsets)[0].IsUint64() || !(*offsets)[1].IsUint64())
    return bad(name, "has no data_offsets of two whole numbers");
  const uint64_t begin = (*offsets)[0].GetUint64(), end = (*offsets)[1].GetUint64();
  if (begin > end || end > data.size())
    return bad(name, fmt::format("lies from {} to {}, but the file has {} bytes of data: it is cut short or damaged", begin, end, data.size()));
  uint64_t bytes = 0;
  if (!size_of(entry, bytes) || bytes != end - begin)
    return bad(name, fmt::format("has {} bytes, which is not what {} [{}] takes", end - begin, entry.dtype->name, fmt::join(entry.shape, ", ")));
  entry.data = data.subspan(begin, bytes);
  return entry;
}

}  // namespace

Result<std::vector<SafetensorsEntry>> parse_safetensors(std::span<const std::byte> file) {
  uint64_t length = 0;
  if (file.size() < sizeof(length)) return Status(StatusCode::corrupt, "is shorter than a header's length", "header");
  std::memcpy(&length, file.data(), sizeof(length));
  if (length > kMaxHeader)
    return Status(StatusCode::limit_exceeded, fmt::format("claims {} bytes, more than the {} that are allowed", length, kMaxHeader), "header");
  if (length > file.size() - sizeof(length))
    return Status(StatusCode::corrupt, fmt::format("claims {} bytes, more than the file has: it is cut short or no safetensors file", length), "header");
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + sizeof(length), length);
  WENQU_ASSIGN_OR_RETURN(const std::shared_ptr<const rapidjson::Document> header, parse_json_object(text, "header"));

  std::vector<SafetensorsEntry> entries;
  std::unordered_set<std::string_view> names;
  for (const auto& member : header->GetObject()) {
    const std::string_view name = text_of(member.name);
    if (name == "__metadata__") continue;
    WENQU_ASSIGN_OR_RETURN(SafetensorsEntry entry, read_entry(name, member.value, file.subspan(sizeof(length) + length)));
    if (!names.insert(name).second) return bad(name, "appears twice");
    entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return a.data.data() != b.data.data() ? a.data.data() < b.data.data() : a.data.size() < b.data.size();
  });
  const SafetensorsEntry* last = nullptr;   // of those with data
  for (const SafetensorsEntry& entry : entries) {
    if (entry.data.empty()) continue;
    if (last && entry.data.data() < last->data.data() + last->data.size())
      return bad(entry.name, fmt::format("overlaps tensor '{}'", utf8_sanitize(last->name)));
    last = &entry;
  }
  return entries;
}

}  // namespace wenqu::engine::convert
