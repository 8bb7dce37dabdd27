#include "engine/cuda/layout.h"

#include <cstring>

namespace wenqu::engine::cuda {

void lay_out_row(gguf::Type type, const std::byte* from, int values, std::byte* to) {
  const RowLayout layout = row_layout(type);
  const int blocks = values / layout.block_values;
  std::memset(to, 0, device_row_bytes(type, values));
  for (int p = 0; p < layout.planes; ++p) {
    const Plane plane = layout.plane[p];
    std::byte* out = to + layout.begin(p, blocks);
    for (int b = 0; b < blocks; ++b, out += plane.bytes) std::memcpy(out, from + b * layout.block_bytes + plane.offset, static_cast<size_t>(plane.bytes));
  }
}

}  // namespace wenqu::engine::cuda
