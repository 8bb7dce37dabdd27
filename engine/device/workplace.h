// What the parts of a forward pass on a device compute with, and the steps that several of them take.
#pragma once

#include "engine/cuda/kernel_list.h"
#include "engine/cuda/products.h"
#include "engine/device/forward.h"
#include "engine/device/scratch.h"
#include "engine/device/weights.h"

namespace wenqu::engine::device {

struct Workplace {
  cuda::Device& device;
  const Config& config;
  const Placement& placement;
  const DeviceWeights& weights;
  Scratch& scratch;

  cuda::Input normed() const {
    const int n = as_int(config.embedding);
    return {scratch.normed, n, scratch.rounded.q, scratch.rounded.scales, scratch.rounded.stride, scratch.halves_of(n)};
  }
  // What a part of a layer gave is added, and what comes of it normed for the next part.
  cuda::NormRows norm_rows(const float* weight) const {
    return {scratch.hidden, scratch.delta, weight, scratch.normed, scratch.rounded, as_int(config.embedding), config.rms_epsilon};
  }
  cuda::NormAfter then(const float* weight) const { return {norm_rows(weight), scratch.arrived}; }
  Status multiply(const DeviceMatrix& matrix, const cuda::Input& x, size_t tokens, cuda::Rows kind, float* out) const {
    return cuda::multiply(device, matrix.stack, matrix.type, x, as_int(tokens), 1, out, matrix.stack.outputs, nullptr, kind);
  }
  // to += more, `numbers` of them.
  Status add(const float* more, float* to, size_t numbers) const {
    return cuda::launch<cuda::AddRows>(device, {as_unsigned((numbers + cuda::AddRows::kNumbers - 1) / cuda::AddRows::kNumbers)}, {more, to, numbers});
  }
};

}  // namespace wenqu::engine::device
