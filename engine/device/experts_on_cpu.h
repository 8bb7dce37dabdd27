// Routed experts that stay with the CPU, seen from the device that computes all else of their layers.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/cancel.h"
#include "engine/device/batch.h"
#include "engine/device/expert_cache.h"
#include "engine/device/workplace.h"

namespace wenqu::engine::device {

class ExpertsOnCpu {
 public:
  ExpertsOnCpu() = default;   // there are none
  // Those of the placement's layers, with the cache that it asks for. Errors: those of ExpertCache::create().
  static Result<ExpertsOnCpu> create(const std::shared_ptr<cuda::Device>& device, const Config& config, const Weights& weights,
                                     const Placement& placement);
  // Experts that a cache may hold: all that stay with the CPU, and a place for none.
  static size_t most_cached(const Config& config, const Weights& weights, const Placement& placement);

  bool any() const { return any_; }
  ExpertCache* cache() const { return cache_.get(); }   // null: none

  // What the chosen experts give goes to, or is added to what `meanwhile` gave in, the scratch's delta: the device does that,
  // which computes the shared experts, while the CPU computes the chosen ones.
  Status compute(const Workplace& w, const Batch& batch, size_t layer, const CancelToken& cancel, const std::function<Status()>& meanwhile);

 private:
  bool any_ = false;
  std::unique_ptr<ExpertCache> cache_;
  std::vector<float> normed_, delta_;        // [tokens][embedding]
  std::vector<ops::ExpertChoice> choices_;   // [tokens][used]
  std::vector<cuda::Choice> here_;           // [tokens][used], of these that the device has
};

}  // namespace wenqu::engine::device
