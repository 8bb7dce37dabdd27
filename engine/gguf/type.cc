#include "engine/gguf/type.h"

namespace wenqu::engine::gguf {
namespace {

constexpr TypeTraits kTypes[] = {
    {Type::f32, "F32", 1, 4},        {Type::f16, "F16", 1, 2},        {Type::bf16, "BF16", 1, 2},
    {Type::q4_0, "Q4_0", 32, 18},    {Type::q4_1, "Q4_1", 32, 20},    {Type::q5_0, "Q5_0", 32, 22},
    {Type::q5_1, "Q5_1", 32, 24},    {Type::q8_0, "Q8_0", 32, 34},    {Type::q2_k, "Q2_K", 256, 84},
    {Type::q3_k, "Q3_K", 256, 110},  {Type::q4_k, "Q4_K", 256, 144},  {Type::q5_k, "Q5_K", 256, 176},
    {Type::q6_k, "Q6_K", 256, 210},  {Type::iq4_nl, "IQ4_NL", 32, 18}, {Type::iq4_xs, "IQ4_XS", 256, 136},
};

}  // namespace

const TypeTraits* type_traits(uint32_t number) {
  for (const TypeTraits& traits : kTypes)
    if (static_cast<uint32_t>(traits.type) == number) return &traits;
  return nullptr;
}

}  // namespace wenqu::engine::gguf
