// The tensors of each architecture: Hugging Face's names and layout, and GGUF's.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "engine/convert/plan.h"

namespace wenqu::engine::convert {

struct Layout {
  std::vector<PlannedTensor> tensors;
  std::vector<std::string> left_over;   // of the checkpoint, not used
};

// Sets config.next_token_layers to 0 where the checkpoint does not have the layers. Errors: corrupt, unsupported; with the tensor.
Result<Layout> plan_layout(const Checkpoint& checkpoint, HfConfig& config);

}  // namespace wenqu::engine::convert
