// From a type of weights that is known when a model runs to one that is known when kernels are compiled.
#pragma once

#include <fmt/format.h>

#include <type_traits>

#include "base/status.h"
#include "engine/gguf/type.h"

namespace wenqu::engine::cuda {

// Calls `launcher` with the type as a constant.
template <typename Launcher>
Status by_type(gguf::Type type, Launcher&& launcher) {
  using gguf::Type;
#define WENQU_TYPE(name) \
  case Type::name: return launcher(std::integral_constant<Type, Type::name>())
  switch (type) {
    WENQU_TYPE(f32);
    WENQU_TYPE(f16);
    WENQU_TYPE(bf16);
    WENQU_TYPE(q8_0);
    WENQU_TYPE(q4_0);
    WENQU_TYPE(q4_1);
    WENQU_TYPE(q5_0);
    WENQU_TYPE(q5_1);
    WENQU_TYPE(iq4_nl);
    WENQU_TYPE(q2_k);
    WENQU_TYPE(q3_k);
    WENQU_TYPE(q4_k);
    WENQU_TYPE(q5_k);
    WENQU_TYPE(q6_k);
    WENQU_TYPE(iq4_xs);
  }
#undef WENQU_TYPE
  return Status(StatusCode::internal, fmt::format("no kernels for weights of type {}", static_cast<uint32_t>(type)));
}

}  // namespace wenqu::engine::cuda
