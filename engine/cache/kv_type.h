// How the numbers of a KV cache are kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace wenqu::engine {

enum class KvType : uint32_t {   // the numbers stand in saved sessions
  f32 = 0,
  f16 = 1,    // beyond +-65504 the largest half float stands for the number
  q8_0 = 2,   // 8 bits, with a scale for each 32 numbers of a head
  bf16 = 3,
  fp8 = 4,    // E4M3 (engine/cpu/fp8.h), with a scale for each 128 numbers of a head
};

inline constexpr KvType kKvTypes[] = {KvType::f32, KvType::f16, KvType::bf16, KvType::q8_0, KvType::fp8};

std::string_view kv_type_name(KvType type);                       // "f16"
std::optional<KvType> parse_kv_type(std::string_view name);

}  // namespace wenqu::engine
