#include "engine/model/fingerprint.h"

#include <algorithm>

namespace wenqu::engine {
namespace {

constexpr uint64_t kSampleBytes = 4096;

void add_number(Sha256& hash, uint64_t number) { hash.add(std::as_bytes(std::span(&number, 1))); }

// With its length, so that two texts do not run into each other.
void add_text(Sha256& hash, std::string_view text) {
  add_number(hash, text.size());
  hash.add(std::as_bytes(std::span(text)));
}

}  // namespace

Fingerprint fingerprint(const gguf::File& file, const Config& config) {
  Sha256 hash;
  for (const auto& [key, value] : file.describe()) {
    add_text(hash, key);
    add_text(hash, value);
  }
  for (const gguf::Tensor& tensor : file.tensors()) {
    add_text(hash, tensor.name);
    add_number(hash, static_cast<uint64_t>(tensor.type));
    for (uint64_t n : tensor.ne) add_number(hash, n);
    const std::span<const std::byte> bytes(tensor.data, tensor.bytes);
    const uint64_t sample = std::min(kSampleBytes, tensor.bytes);
    for (uint64_t at : {uint64_t{0}, (tensor.bytes - sample) / 2, tensor.bytes - sample}) hash.add(bytes.subspan(at, sample));
  }
  add_number(hash, config.moe.router.groups);
  add_number(hash, config.moe.router.groups_used);
  return hash.finish();
}

}  // namespace wenqu::engine
