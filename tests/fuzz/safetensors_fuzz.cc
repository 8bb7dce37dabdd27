// Any bytes as a safetensors file: what the header promises lies inside the bytes, and no two tensors share any.
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/convert/safetensors.h"
#include "tests/fuzz/check.h"

namespace {

// Keeps reads from being optimised away.
volatile size_t sink;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace wenqu::engine::convert;
  const std::span<const std::byte> file = std::as_bytes(std::span(data, size));
  const auto entries = parse_safetensors(file);
  if (!entries) {
    WENQU_FUZZ_CHECK(!entries.status().to_string().empty());
    return 0;
  }
  size_t sum = 0;
  const std::byte* end = file.data();
  for (const SafetensorsEntry& entry : *entries) {
    uint64_t numbers = 1;
    for (const uint64_t n : entry.shape) numbers *= n;
    WENQU_FUZZ_CHECK(entry.dtype && entry.data.size() == (numbers * entry.dtype->bits + 7) / 8);
    if (entry.data.empty()) continue;
    WENQU_FUZZ_CHECK(entry.data.data() >= end && entry.data.data() + entry.data.size() <= file.data() + file.size());
    end = entry.data.data() + entry.data.size();
    for (const std::byte byte : entry.data) sum += static_cast<size_t>(byte);
  }
  sink = sum;
  return 0;
}
