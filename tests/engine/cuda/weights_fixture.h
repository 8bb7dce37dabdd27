// Random weights as the file has them, as the device has them, and as plain numbers.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/cpu/kernels.h"
#include "engine/cuda/layout.h"
#include "engine/quant/quantize.h"

namespace wenqu::test {

inline std::vector<float> random_floats(size_t n, std::mt19937& random, float spread = 1) {
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

struct RandomWeights {
  std::vector<float> values;         // [matrices * rows][inputs], as the type keeps them
  std::vector<std::byte> device;     // laid out
  size_t row_bytes = 0;

  RandomWeights(engine::gguf::Type type, int rows, int inputs, std::mt19937& random)
      : values(random_floats(static_cast<size_t>(rows) * static_cast<size_t>(inputs), random)),
        row_bytes(device_row_bytes(type, inputs)) {
    device.resize(static_cast<size_t>(rows) * row_bytes);
    std::vector<std::byte> file(engine::gguf::type_row_bytes(type, static_cast<uint64_t>(inputs)));
    for (int r = 0; r < rows; ++r) {
      float* const row = values.data() + static_cast<size_t>(r) * static_cast<size_t>(inputs);
      EXPECT_TRUE(engine::quant::quantize_row(type, row, static_cast<size_t>(inputs), file.data()));
      engine::cpu::dequantize_row(type, file.data(), static_cast<size_t>(inputs), row);
      lay_out_row(type, file.data(), inputs, device.data() + static_cast<size_t>(r) * row_bytes);
    }
  }
  const float* row(int r, int inputs) const { return values.data() + static_cast<size_t>(r) * static_cast<size_t>(inputs); }

 private:
  static void lay_out_row(engine::gguf::Type type, const std::byte* from, int inputs, std::byte* to) {
    engine::cuda::lay_out_row(type, from, inputs, to);
  }
  static size_t device_row_bytes(engine::gguf::Type type, int inputs) { return engine::cuda::device_row_bytes(type, inputs); }
};

// Input rows, as floats and rounded.
struct RandomInput {
  int n, stride;
  std::vector<float> values, rounded;   // [rows][n]; what the rounded form stands for
  std::vector<int8_t> q;
  std::vector<float> scales;

  RandomInput(int rows, int inputs, std::mt19937& random)
      : n(inputs), stride(engine::cuda::round_up(inputs, 32)), values(random_floats(static_cast<size_t>(rows * inputs), random)), rounded(values.size()),
        q(static_cast<size_t>(rows * stride)), scales(static_cast<size_t>(rows * stride / 32)) {
    for (int r = 0; r < rows; ++r)
      for (int b = 0; b < stride / 32; ++b) {
        float largest = 0;
        for (int i = b * 32; i < std::min(n, b * 32 + 32); ++i) largest = std::max(largest, std::abs(values[static_cast<size_t>(r * n + i)]));
        scales[static_cast<size_t>(r * stride / 32 + b)] = largest / 127;
        for (int i = b * 32; i < std::min(n, b * 32 + 32); ++i) {
          const float whole = std::nearbyint(values[static_cast<size_t>(r * n + i)] * (largest > 0 ? 127 / largest : 0));
          q[static_cast<size_t>(r * stride + i)] = static_cast<int8_t>(whole);
          rounded[static_cast<size_t>(r * n + i)] = whole * (largest / 127);
        }
      }
  }
};

// Tests of every type that weights are kept in.
template <engine::gguf::Type type>
using OfType = std::integral_constant<engine::gguf::Type, type>;
using WeightTypes = testing::Types<OfType<engine::gguf::Type::f32>, OfType<engine::gguf::Type::f16>, OfType<engine::gguf::Type::bf16>,
                                   OfType<engine::gguf::Type::q8_0>, OfType<engine::gguf::Type::q4_0>, OfType<engine::gguf::Type::q4_1>,
                                   OfType<engine::gguf::Type::q5_0>, OfType<engine::gguf::Type::q5_1>, OfType<engine::gguf::Type::iq4_nl>,
                                   OfType<engine::gguf::Type::q2_k>, OfType<engine::gguf::Type::q3_k>, OfType<engine::gguf::Type::q4_k>,
                                   OfType<engine::gguf::Type::q5_k>, OfType<engine::gguf::Type::q6_k>, OfType<engine::gguf::Type::iq4_xs>>;

class NameOfType {
 public:
  template <typename T>
  static std::string GetName(int) { return std::string(engine::gguf::type_traits(T::value).name); }
};

inline double dot(const float* a, const float* b, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += double{a[i]} * b[i];
  return sum;
}

}  // namespace wenqu::test
