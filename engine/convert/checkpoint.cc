#include "engine/convert/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/utf8.h"
#include "engine/convert/json.h"

namespace wenqu::engine::convert {
namespace {

constexpr size_t kMaxShards = 4096;

}  // namespace

Status Checkpoint::add(const std::string& path) {
  WENQU_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  auto shard = std::make_unique<Shard>(Shard{std::move(file), {}});
  Result<std::vector<SafetensorsEntry>> entries = parse_safetensors(shard->file.data());
  if (!entries) return entries.status().at(path);
  shard->entries = std::move(*entries);
  for (const SafetensorsEntry& entry : shard->entries)
    if (!by_name_.emplace(entry.name, &entry).second)
      return Status(StatusCode::corrupt, "is in another file, too", fmt::format("{}: tensor '{}'", path, utf8_sanitize(entry.name)));
  shards_.push_back(std::move(shard));
  return {};
}

Status Checkpoint::open_index(const std::string& folder, const std::string& index) {
  WENQU_ASSIGN_OR_RETURN(const std::shared_ptr<const rapidjson::Document> json, read_json_object(index));
  const Object root(*json, index);
  WENQU_ASSIGN_OR_RETURN(const std::optional<Object> map, root.object("weight_map"));
  if (!map) return root.wrong("weight_map", "is missing");
  std::set<std::string> files;
  for (const auto& member : map->value().GetObject()) {
    const std::string_view file = member.value.IsString() ? text_of(member.value) : std::string_view();
    // A name in the folder: an index must not lead out of it.
    if (file.empty() || file.find('/') != file.npos || file.find('\0') != file.npos || file == "..")
      return map->wrong(text_of(member.name), "names no file of the folder");
    files.emplace(file);
    if (files.size() > kMaxShards) return root.wrong("weight_map", fmt::format("names more than {} files", kMaxShards));
  }
  for (const std::string& file : files) WENQU_RETURN_IF_ERROR(add(folder + "/" + file));
  for (const auto& member : map->value().GetObject())
    if (!has(text_of(member.name)))
      return map->wrong(text_of(member.name), fmt::format("is not in {}: the folder is incomplete", utf8_sanitize(text_of(member.value))));
  return {};
}

Result<std::shared_ptr<const Checkpoint>> Checkpoint::open(const std::string& folder) {
  auto checkpoint = std::make_shared<Checkpoint>();
  const std::string index = folder + "/model.safetensors.index.json";
  std::error_code error;
  WENQU_RETURN_IF_ERROR(std::filesystem::exists(index, error) ? checkpoint->open_index(folder, index)
                                                             : checkpoint->add(folder + "/model.safetensors"));
  for (const auto& [name, entry] : checkpoint->by_name_) checkpoint->names_.push_back(name);
  std::sort(checkpoint->names_.begin(), checkpoint->names_.end());
  return std::shared_ptr<const Checkpoint>(std::move(checkpoint));
}

const SafetensorsEntry* Checkpoint::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

}  // namespace wenqu::engine::convert
