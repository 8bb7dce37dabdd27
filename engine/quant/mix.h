// Which type each tensor of a model gets.
//
// A mix is one type for all matrices, or Q4_K with Q6_K where errors cost most. Vectors, norms, biases, routers
// and rotary factors are never quantized. A row that is no whole number of blocks gets the nearest type that
// fits it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/gguf/type.h"

namespace wenqu::engine::quant {

struct Mix {
  std::string_view name;       // "Q4_K_M"
  gguf::Type type;             // of most matrices
  bool mixed;                  // with Q6_K for the output, and for part of attn_v and ffn_down
  uint32_t file_type;          // general.file_type
};

// Errors: invalid_argument, listing the names there are. Case does not matter.
Result<Mix> find_mix(std::string_view name);

struct ModelShape {
  uint32_t layers = 0;         // for the place of a layer in the model
  bool tied = false;           // no output.weight: the embedding is the output, too
};

// nullopt: it stays as it is (F32 when there is a choice).
std::optional<gguf::Type> choose_type(const Mix& mix, const ModelShape& shape, std::string_view tensor,
                                      std::span<const uint64_t> ne);

// `type`, or what stands in for it where rows of `values` values are no whole blocks.
gguf::Type fitting_type(gguf::Type type, uint64_t values);

}  // namespace wenqu::engine::quant
