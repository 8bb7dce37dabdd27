// Writes a GGUF v3 file in one pass: first the metadata and every tensor's name, type and shape, then the
// tensors' data in the same order, in pieces of any size. The file appears under its name when it is whole.
//
//   Writer writer; set_... and add_tensor for all of them; open(path); append(...) ...; finish().
//
// Thread safety: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/output_file.h"
#include "base/status.h"
#include "engine/gguf/type.h"

namespace wenqu::engine::gguf {

class File;

class Writer {
 public:
  // A key that is set again has the new value, at its first place.
  void set_uint(std::string_view key, uint32_t value);
  void set_float(std::string_view key, float value);
  void set_bool(std::string_view key, bool value);
  void set_string(std::string_view key, std::string_view value);
  void set_strings(std::string_view key, std::span<const std::string> values);
  void set_ints(std::string_view key, std::span<const int32_t> values);
  // A value as File::raw_value gives it.
  void set_raw(std::string_view key, std::span<const std::byte> value);

  // Errors: invalid_argument (a name used twice or too long, no or too many dimensions, rows that are no whole
  // blocks, a size that does not fit).
  Status add_tensor(std::string_view name, Type type, std::span<const uint64_t> ne);

  // Writes all that was set and added. Errors: those of OutputFile.
  Status open(const std::string& path);
  // The next bytes of the tensor that `name` says; one tensor after the other, as they were added.
  // Errors: internal (another tensor's turn, or more bytes than are left of it), io_error.
  Status append(std::string_view name, std::span<const std::byte> bytes);
  // Errors: internal (a tensor's bytes are missing), io_error.
  Status finish();

  uint64_t data_bytes() const { return data_bytes_; }   // of all tensors

 private:
  struct Tensor {
    std::string name;
    Type type;
    std::vector<uint64_t> ne;
    uint64_t bytes = 0, offset = 0;
  };
  std::string& value(std::string_view key);

  std::vector<std::pair<std::string, std::string>> values_;   // key; type and content
  std::unordered_map<std::string, size_t> places_;
  std::vector<Tensor> tensors_;
  std::unordered_set<std::string> names_;
  uint64_t data_bytes_ = 0;
  std::optional<OutputFile> file_;
  size_t current_ = 0;      // the tensor whose turn it is
  uint64_t written_ = 0;    // bytes of it
};

}  // namespace wenqu::engine::gguf
