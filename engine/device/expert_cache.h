// Routed experts on a device, of layers whose routed experts stay with the CPU: those that were used most, where use fades
// with the tokens read since, as far as a budget of the device's memory reaches. A batch's choices are divided: the device
// computes those that it has, the CPU the others.
//
// Thread safety: that of the device.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/cuda/products.h"
#include "engine/device/forward.h"
#include "engine/device/memory.h"
#include "engine/model/config.h"
#include "engine/model/weights.h"
#include "engine/ops/router.h"
#include "engine/residency/expert_policy.h"

namespace wenqu::engine::device {

class ExpertCache {
 public:
  // For the placement's layers; null where the bytes hold too few experts to be worth it, or no experts stay. The weights
  // outlive the cache. Errors: those of the device.
  static Result<std::unique_ptr<ExpertCache>> create(const std::shared_ptr<cuda::Device>& device, const Config& config, const Weights& weights,
                                                     const Placement& placement, uint64_t bytes);

  // What feed_forward() takes for a layer: its experts are the cache's places, the first of which is none.
  cuda::FeedForward weights(size_t layer) const;
  size_t places() const { return experts_.size(); }

  // A layer's choices of a batch: `here` gets those that the device has, by their place, and the first place with no weight
  // for the others; in `choices` those that the device has become ops::kNoExpert. Returns how many those are.
  size_t divide(size_t layer, std::span<ops::ExpertChoice> choices, std::span<cuda::Choice> here);

  // Behind a batch of so many tokens: brings experts that were missed and are used more than others that are there.
  Status keep_up(size_t tokens);

  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }

 private:
  ExpertCache(std::shared_ptr<cuda::Device> device, const Config& config, const Weights& weights, std::vector<const Layer*> layers, size_t place_bytes,
              Memory memory);
  size_t index(const Layer& layer, size_t expert) const { return (layer.mixture - layers_[0]->mixture) * config_.moe.router.experts + expert; }
  Status bring(size_t expert, size_t place);

  const std::shared_ptr<cuda::Device> device_;
  const Config& config_;
  const Weights& weights_;
  const std::vector<const Layer*> layers_;   // whose experts stay, in order
  const size_t place_bytes_;
  Memory memory_;
  ExpertPolicy policy_;
  std::vector<size_t> experts_;              // [places] which is there; SIZE_MAX: none
  std::vector<uint32_t> place_of_;           // [experts of all layers]; 0: none
  size_t free_place_ = 1;                    // those from here on hold nothing yet
  std::vector<size_t> missed_;               // of the batch
  std::vector<std::byte> piece_;
  uint64_t hits_ = 0, misses_ = 0;
};

}  // namespace wenqu::engine::device
