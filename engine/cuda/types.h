// From a type of weights that is known when a model runs to one that is known when kernels are compiled.
#pragma once

#include <fmt/format.h>

#include <type_traits>

#include "base/status.h"
#include "engine/cuda/weight_types.h"

namespace wenqu::engine::cuda {

// Calls `launcher` with the type as a constant.
template <typename Launcher>
Status by_type(gguf::Type type, Launcher&& launcher) {
  using gguf::Type;
#define WENQU_TYPE(name) \
  case Type::name: return launcher(std::integral_constant<Type, Type::name>());
  switch (type) { WENQU_WEIGHT_TYPES(WENQU_TYPE) }
#undef WENQU_TYPE
  return Status(StatusCode::internal, fmt::format("no kernels for weights of type {}", static_cast<uint32_t>(type)));
}

}  // namespace wenqu::engine::cuda
