// The part of a layer behind attention on a device.
#pragma once

#include "base/cancel.h"
#include "engine/device/batch.h"
#include "engine/device/experts_on_cpu.h"
#include "engine/device/workplace.h"

namespace wenqu::engine::device {

// The largest scratch that feed_forward() needs of any layer, with `cached` experts of those that stay with the CPU on the
// device.
size_t feed_forward_scratch(const Config& config, const Weights& weights, const Placement& placement, size_t cached);

// A dense feed-forward, or the chosen experts and the shared ones, of the normed states; `after` follows.
Status feed_forward(const Workplace& w, const Batch& batch, size_t layer, const cuda::NormAfter& after, ExpertsOnCpu& on_cpu, const CancelToken& cancel);

}  // namespace wenqu::engine::device
