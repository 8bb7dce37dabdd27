// A GGUF v3 file: metadata and tensors, mapped read-only.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
//
// Everything in the file is untrusted: every count, length, offset and product is checked against
// the file's size before it is used, and nothing is allocated by a number the file merely claims.
//
// Thread safety: immutable after open. Lifetime: the views and pointers handed out live as long as
// the File.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"
#include "engine/gguf/type.h"

namespace wenqu::engine::gguf {

struct Tensor {
  std::string_view name;
  Type type = Type::f32;
  uint32_t n_dims = 0;                       // 1 to 4
  std::array<uint64_t, 4> ne = {1, 1, 1, 1}; // ne[0] is contiguous; unused dimensions are 1
  const std::byte* data = nullptr;           // row r of matrix m starts at (m * ne[1] + r) * row_bytes()
  uint64_t bytes = 0;

  uint64_t elements() const { return ne[0] * ne[1] * ne[2] * ne[3]; }
  uint64_t row_bytes() const { return type_row_bytes(type, ne[0]); }
};

class File {
 public:
  // A model in several files ("NAME-00001-of-00003.gguf") is opened by the name of any of them, and is one
  // File afterwards: the first one's metadata, and everyone's tensors.
  // Errors: not_found (a part, too), io_error, corrupt (what, and at which key or tensor), unsupported
  // (version, tensor type, big-endian file).
  static Result<std::shared_ptr<const File>> open(const std::string& path);
  // The same of a file's bytes in memory, which outlive the File; path() is empty. They must lie at an address
  // that suits any number, as those of a mapped file or of operator new do. Errors: as open(); a part of a model
  // in several files is unsupported, because the others cannot be found.
  static Result<std::shared_ptr<const File>> parse(std::span<const std::byte> bytes);
  ~File();

  const std::string& path() const;
  std::vector<std::string> paths() const;   // of all parts
  uint64_t file_bytes() const;   // of all parts

  // Metadata by key: nullopt when absent or of another kind. Integers of any width and sign convert
  // when the value fits; get_float takes any number.
  bool has(std::string_view key) const;
  std::optional<uint64_t> get_uint(std::string_view key) const;
  std::optional<int64_t> get_int(std::string_view key) const;
  std::optional<double> get_float(std::string_view key) const;
  std::optional<bool> get_bool(std::string_view key) const;
  std::optional<std::string_view> get_string(std::string_view key) const;
  std::optional<std::vector<std::string_view>> get_strings(std::string_view key) const;
  std::optional<std::vector<int64_t>> get_ints(std::string_view key) const;
  std::optional<std::vector<float>> get_floats(std::string_view key) const;

  // All keys in file order with a printable value (long arrays and texts cut short), for `inspect`.
  std::vector<std::pair<std::string, std::string>> describe() const;

  // All keys in file order, and a value as it lies in the file (its type, then its content; empty when
  // absent), for whoever writes the metadata into another file.
  std::span<const std::string_view> keys() const;
  std::span<const std::byte> raw_value(std::string_view key) const;

  // nullptr when absent.
  const Tensor* tensor(std::string_view name) const;
  std::span<const Tensor> tensors() const;

 private:
  struct State;
  explicit File(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace wenqu::engine::gguf
