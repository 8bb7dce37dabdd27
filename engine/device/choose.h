// Devices by the names that options have for them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/cuda/device.h"

namespace wenqu::engine::device {

struct Chosen {
  std::vector<std::shared_ptr<cuda::Device>> devices;   // none: the CPU
  std::string why;                        // with "auto": why no GPU is used
};

// "cpu"; "cuda", the first GPU, "cuda:1", several as "cuda:0,2", or "cuda:all"; "auto": the first GPU where one can be used,
// else the CPU. An empty name is "cpu". Errors: invalid_argument, for another name; those of cuda::open_device(), but for "auto".
Result<Chosen> choose_device(std::string_view name);

}  // namespace wenqu::engine::device
