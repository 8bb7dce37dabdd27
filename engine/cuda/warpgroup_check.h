// Whether a GPU multiplies tiles as machine.h says.
#pragma once

#include "base/status.h"
#include "engine/cuda/device.h"

namespace wenqu::engine::cuda {

// Products of whole numbers by the kernels of warpgroups.h, of weights that are copied and of weights that are unpacked,
// compared with what comes of them. False: something else came. Errors: what the device gives.
Result<bool> multiplies_by_warpgroups(Device& device);

}  // namespace wenqu::engine::cuda
