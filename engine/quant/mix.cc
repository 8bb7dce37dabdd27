#include "engine/quant/mix.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cctype>

namespace wenqu::engine::quant {
namespace {

using gguf::Type;

constexpr Mix kMixes[] = {
    {"F32", Type::f32, false, 0},    {"F16", Type::f16, false, 1},    {"BF16", Type::bf16, false, 32},
    {"Q8_0", Type::q8_0, false, 7},  {"Q6_K", Type::q6_k, false, 18}, {"Q5_K", Type::q5_k, false, 16},
    {"Q5_0", Type::q5_0, false, 8},  {"Q5_1", Type::q5_1, false, 9},  {"Q4_K_M", Type::q4_k, true, 15},
    {"Q4_K", Type::q4_k, false, 14}, {"Q4_0", Type::q4_0, false, 2},  {"Q4_1", Type::q4_1, false, 3},
    {"IQ4_NL", Type::iq4_nl, false, 25}, {"IQ4_XS", Type::iq4_xs, false, 30}, {"Q3_K", Type::q3_k, false, 11},
    {"Q2_K", Type::q2_k, false, 10},
};

// The number in "blk.12.attn_v.weight".
std::optional<uint32_t> layer_of(std::string_view name) {
  constexpr std::string_view kBlock = "blk.";
  if (!name.starts_with(kBlock)) return std::nullopt;
  uint32_t layer = 0;
  const char* const end = name.data() + name.size();
  const auto [next, error] = std::from_chars(name.data() + kBlock.size(), end, layer);
  if (error != std::errc() || next == end || *next != '.') return std::nullopt;
  return layer;
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

// Errors of the first and the last layers, and of values and down projections, cost most.
bool deserves_more(std::string_view name, const ModelShape& shape) {
  if (name == "output.weight" || name.ends_with(".nextn.shared_head_head.weight")) return true;
  if (name == "token_embd.weight") return shape.tied;
  const auto layer = layer_of(name);
  if (!layer || !(contains(name, ".attn_v.") || contains(name, ".ffn_down"))) return false;
  const uint32_t eighth = shape.layers / 8;
  return *layer < eighth || *layer + eighth >= shape.layers || (*layer - eighth) % 3 == 2;
}

}  // namespace

Result<Mix> find_mix(std::string_view name) {
  std::string names;
  for (const Mix& mix : kMixes) {
    const auto same = [](char a, char b) { return std::toupper(static_cast<unsigned char>(a)) == b; };
    if (std::equal(name.begin(), name.end(), mix.name.begin(), mix.name.end(), same)) return mix;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", mix.name);
  }
  return Status(StatusCode::invalid_argument, fmt::format("'{}' is none of {}", name, names), "--type");
}

Type fitting_type(Type type, uint64_t values) {
  if (values % gguf::type_traits(type).block_values == 0) return type;
  if (values % 32) return Type::f16;
  switch (type) {
    case Type::q6_k: return Type::q8_0;
    case Type::q5_k: return Type::q5_1;
    case Type::q4_k: return Type::q5_0;
    default: return Type::iq4_nl;
  }
}

std::optional<Type> choose_type(const Mix& mix, const ModelShape& shape, std::string_view tensor, std::span<const uint64_t> ne) {
  if (ne.size() < 2 || !tensor.ends_with(".weight") || contains(tensor, "norm") || contains(tensor, "ffn_gate_inp"))
    return std::nullopt;
  const Type type = mix.mixed && deserves_more(tensor, shape) ? Type::q6_k : mix.type;
  return fitting_type(type, ne[0]);
}

}  // namespace wenqu::engine::quant
