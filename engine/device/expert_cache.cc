#include "engine/device/expert_cache.h"

#include <algorithm>

#include "engine/cuda/layout.h"
#include "engine/device/weights.h"

namespace wenqu::engine::device {
namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kLeast = 8;         // experts that are worth a cache
constexpr double kHalfLife = 2000;   // tokens
// Bringing an expert costs about what the CPU takes to compute one a few times: only one that is used clearly more
// takes the place of another, and few of them for each token that is read.
constexpr double kMoreUsed = 1.5, kUsedBefore = 1.5;
constexpr size_t kBroughtAtOnce = 2, kBroughtToFreePlaces = 8, kTokensForOneMore = 16;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

size_t matrix_bytes(const Matrix& matrix) { return matrix.outputs * cuda::device_row_bytes(matrix.type, static_cast<int>(matrix.inputs)); }

size_t expert_bytes(const Layer& layer) {
  return aligned(matrix_bytes(layer.expert_gate)) + aligned(matrix_bytes(layer.expert_up)) + aligned(matrix_bytes(layer.expert_down));
}

}  // namespace

Result<std::unique_ptr<ExpertCache>> ExpertCache::create(const std::shared_ptr<cuda::Device>& device, const Config& config, const Weights& weights,
                                                         const Placement& placement, uint64_t bytes) {
  std::vector<const Layer*> layers;
  size_t place_bytes = 0;
  for (size_t l = placement.layers.first; l < placement.layers.end; ++l) {
    const Layer& layer = weights.layers[l];
    if (!layer.is_moe || layer.mixture >= placement.on_cpu) continue;
    layers.push_back(&layer);
    place_bytes = std::max(place_bytes, expert_bytes(layer));
  }
  if (layers.empty()) return std::unique_ptr<ExpertCache>();
  const size_t places = std::min<uint64_t>(bytes / place_bytes, 1 + layers.size() * config.moe.router.experts);
  if (places < 1 + kLeast) return std::unique_ptr<ExpertCache>();
  Result<Memory> memory = Memory::allocate(device, places * place_bytes);
  if (memory.status().code() == StatusCode::out_of_memory) return std::unique_ptr<ExpertCache>();   // the CPU does without
  if (!memory) return memory.status();
  WENQU_RETURN_IF_ERROR(device->clear(memory->data(), place_bytes));   // the place of none: whatever is multiplied with it is nothing
  return std::unique_ptr<ExpertCache>(new ExpertCache(device, config, weights, std::move(layers), place_bytes, std::move(*memory)));
}

ExpertCache::ExpertCache(std::shared_ptr<cuda::Device> device, const Config& config, const Weights& weights, std::vector<const Layer*> layers,
                         size_t place_bytes, Memory memory)
    : device_(std::move(device)),
      config_(config),
      weights_(weights),
      layers_(std::move(layers)),
      place_bytes_(place_bytes),
      memory_(std::move(memory)),
      policy_(std::vector<uint64_t>(layers_.size() * config.moe.router.experts, 1), kHalfLife),
      experts_(memory_.bytes() / place_bytes, SIZE_MAX),
      place_of_(policy_.size(), 0) {}

cuda::FeedForward ExpertCache::weights(size_t l) const {
  const Layer& layer = weights_.layers[l];
  std::byte* at = memory_.data();
  const auto stack = [&](const Matrix& matrix) {
    const cuda::Stack made{at, cuda::device_row_bytes(matrix.type, static_cast<int>(matrix.inputs)), place_bytes_, static_cast<int>(matrix.inputs),
                           static_cast<int>(matrix.outputs)};
    at += aligned(matrix_bytes(matrix));
    return made;
  };
  cuda::FeedForward weights;
  weights.gate = stack(layer.expert_gate), weights.up = stack(layer.expert_up), weights.down = stack(layer.expert_down);
  weights.gate_type = layer.expert_gate.type, weights.up_type = layer.expert_up.type, weights.down_type = layer.expert_down.type;
  weights.experts = static_cast<int>(places());
  return weights;
}

size_t ExpertCache::divide(size_t l, std::span<ops::ExpertChoice> choices, std::span<cuda::Choice> here) {
  const Layer& layer = weights_.layers[l];
  size_t found = 0;
  for (size_t i = 0; i < choices.size(); ++i) {
    const size_t expert = index(layer, choices[i].expert);
    policy_.use(expert, 1);
    const uint32_t place = place_of_[expert];
    here[i] = {static_cast<int32_t>(place), place > 0 ? choices[i].weight : 0.0f};
    if (place > 0) {
      choices[i].expert = ops::kNoExpert;
      ++found;
    } else {
      missed_.push_back(expert);
    }
  }
  hits_ += found, misses_ += choices.size() - found;
  return found;
}

Status ExpertCache::keep_up(size_t tokens) {
  policy_.step(static_cast<double>(tokens));
  std::sort(missed_.begin(), missed_.end());
  missed_.erase(std::unique(missed_.begin(), missed_.end()), missed_.end());
  const size_t most = std::min(missed_.size(), (free_place_ < experts_.size() ? kBroughtToFreePlaces : kBroughtAtOnce) + tokens / kTokensForOneMore);
  std::partial_sort(missed_.begin(), missed_.begin() + static_cast<std::ptrdiff_t>(most), missed_.end(),
                    [&](size_t a, size_t b) { return policy_.used(a) != policy_.used(b) ? policy_.used(a) > policy_.used(b) : a < b; });
  Status status;
  for (size_t i = 0; i < most && status; ++i) {
    const size_t expert = missed_[i];
    if (policy_.used(expert) < kUsedBefore) break;
    size_t place = free_place_;
    if (place == experts_.size()) {
      const std::vector<size_t> gone = policy_.make_room(policy_.bytes_in_memory() - 1);
      if (gone.empty()) break;
      place = place_of_[gone[0]];
      if (policy_.used(expert) < kMoreUsed * policy_.used(gone[0])) {
        policy_.add(gone[0]);   // it stays, and so do those that are used more
        break;
      }
      place_of_[gone[0]] = 0;
    } else {
      ++free_place_;
    }
    experts_[place] = SIZE_MAX;
    if (status = bring(expert, place); status) experts_[place] = expert, place_of_[expert] = static_cast<uint32_t>(place), policy_.add(expert);
  }
  missed_.clear();
  return status;
}

Status ExpertCache::bring(size_t expert, size_t place) {
  const Layer& layer = *layers_[expert / config_.moe.router.experts];
  std::byte* at = memory_.data() + place * place_bytes_;
  for (const Matrix* matrix : {&layer.expert_gate, &layer.expert_up, &layer.expert_down}) {
    WENQU_RETURN_IF_ERROR(upload_matrix(*device_, *matrix, expert % config_.moe.router.experts, at, piece_, {}));
    at += aligned(matrix_bytes(*matrix));
  }
  return {};
}

}  // namespace wenqu::engine::device
