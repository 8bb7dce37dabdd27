// The header of a safetensors file: eight bytes of length, then JSON from names to number format, shape and place.
// Format: https://huggingface.co/docs/safetensors
//
// The file is untrusted: every number is checked against the file's size before it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/convert/dtype.h"

namespace wenqu::engine::convert {

struct SafetensorsEntry {
  std::string name;
  const DType* dtype = nullptr;
  std::vector<uint64_t> shape;          // outermost first; none for a single number
  std::span<const std::byte> data;      // shape x dtype bytes, inside the file
};

// The tensors in the order of their data. `file` is all of it, and must outlive the entries.
// Errors: corrupt (with the tensor), limit_exceeded (the header), unsupported (an unknown number format).
Result<std::vector<SafetensorsEntry>> parse_safetensors(std::span<const std::byte> file);

}  // namespace wenqu::engine::convert
