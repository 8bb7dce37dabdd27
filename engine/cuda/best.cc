#include "engine/cuda/best.h"

#include <bit>

#include "engine/cuda/kernel_list.h"

namespace wenqu::engine::cuda {
namespace {

size_t keys_bytes(int rows, int vocabulary) {
  return static_cast<size_t>(rows) * static_cast<size_t>(group_count(vocabulary)) * sizeof(uint64_t);
}

}  // namespace

size_t best_logits_scratch(int rows, int vocabulary) { return keys_bytes(rows, vocabulary) / sizeof(uint64_t) * (sizeof(uint64_t) + sizeof(float)); }

Status best_logits(Device& device, const float* logits, int rows, int vocabulary, const BestWanted* wanted, int most, void* scratch, Word2* out) {
  if (rows <= 0) return {};
  const int groups = group_count(vocabulary), sorted = static_cast<int>(std::bit_ceil(static_cast<unsigned>(groups)));
  auto* const keys = static_cast<uint64_t*>(scratch);
  auto* const weights = reinterpret_cast<float*>(static_cast<std::byte*>(scratch) + keys_bytes(rows, vocabulary));
  WENQU_RETURN_IF_ERROR(launch<BestOfGroups>(
      device, {static_cast<unsigned>(divide_up(groups, BestOfGroups::kThreads)), static_cast<unsigned>(rows)}, {logits, vocabulary, wanted, keys, weights}));
  return launch<BestOfRow>(device, {static_cast<unsigned>(rows)}, {logits, vocabulary, wanted, keys, weights, sorted, out, most},
                           static_cast<size_t>(BestOfRow::shared_bytes(sorted)));
}

}  // namespace wenqu::engine::cuda
