// What a model file is made for, by what it says of itself, before anything of it is loaded.
//
// Thread safety: free function.
#pragma once

#include <string>

#include "base/status.h"

namespace wenqu::engine {

enum class ModelUse {
  generate,   // Model
  embed,      // Embedder::embed
  rank,       // Embedder::score
};

// Errors: those of gguf::File::open.
Result<ModelUse> find_model_use(const std::string& path);

}  // namespace wenqu::engine
