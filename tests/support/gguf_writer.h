// Writes small GGUF v3 files for tests: whatever it is told, right or wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/gguf/type.h"

namespace wenqu::test {

class GgufWriter {
 public:
  void set_u32(std::string_view key, uint32_t value);
  void set_u64(std::string_view key, uint64_t value);
  void set_i32(std::string_view key, int32_t value);
  void set_f32(std::string_view key, float value);
  void set_bool(std::string_view key, bool value);
  void set_string(std::string_view key, std::string_view value);
  void set_strings(std::string_view key, const std::vector<std::string>& values);
  void set_i32s(std::string_view key, const std::vector<int32_t>& values);
  void set_f32s(std::string_view key, const std::vector<float>& values);

  // `bytes`: the tensor's data in its type's layout.
  void add_tensor(std::string_view name, engine::gguf::Type type, std::vector<uint64_t> ne, std::string bytes);

  std::string bytes() const;
  void write(const std::string& path) const;

 private:
  struct Tensor {
    std::string name;
    uint32_t type;
    std::vector<uint64_t> ne;
    std::string bytes;
  };
  void begin(std::string_view key, uint32_t type);

  std::string metadata_;
  uint64_t keys_ = 0;
  std::vector<Tensor> tensors_;
};

// `values` as the bytes of an F32 tensor.
std::string f32_bytes(const std::vector<float>& values);

}  // namespace wenqu::test
