// The tensors of a model's folder: one model.safetensors, or the files that model.safetensors.index.json names, mapped
// read-only.
//
// Thread safety: immutable after open. Lifetime: entries live as long as the Checkpoint.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"
#include "engine/convert/safetensors.h"

namespace wenqu::engine::convert {

class Checkpoint {
 public:
  // Errors: not_found (no such file, a part too), those of parse_safetensors (with the file), corrupt (an index that names
  // tensors that its files do not have).
  static Result<std::shared_ptr<const Checkpoint>> open(const std::string& folder);

  // nullptr when absent.
  const SafetensorsEntry* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  // Sorted.
  const std::vector<std::string_view>& names() const { return names_; }

 private:
  struct Shard {
    MappedFile file;
    std::vector<SafetensorsEntry> entries;
  };
  Status add(const std::string& path);
  Status open_index(const std::string& folder, const std::string& index);

  std::vector<std::unique_ptr<Shard>> shards_;
  std::unordered_map<std::string_view, const SafetensorsEntry*> by_name_;
  std::vector<std::string_view> names_;
};

}  // namespace wenqu::engine::convert
