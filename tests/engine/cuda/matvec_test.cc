#include "engine/cuda/kernels/matvec.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/cuda/kernel_list.h"
#include "tests/engine/cuda/device_memory.h"
#include "tests/engine/cuda/weights_fixture.h"
#include "tests/engine/cuda/test_device.h"

namespace wenqu::test {
namespace {

using engine::gguf::Type;

template <typename T>
class WeightsOnTheDevice : public testing::Test {
 protected:
  static constexpr Type kType = T::value;
  static constexpr int kInputs = row_layout(kType).block_values == 256 ? 768 : is_quantized(kType) ? 352 : 203;

  Input input(const RandomInput& host) {
    return {values_.emplace_back(std::make_unique<Array<float>>(device_, host.values))->data(), host.n,
            bytes_.emplace_back(std::make_unique<Array<int8_t>>(device_, host.q))->data(),
            values_.emplace_back(std::make_unique<Array<float>>(device_, host.scales))->data(), host.stride};
  }
  static const std::vector<float>& met(const RandomInput& host) { return is_quantized(kType) ? host.rounded : host.values; }

  std::mt19937 random_{7};
  TestDevice device_;
  std::vector<std::unique_ptr<Array<float>>> values_;
  std::vector<std::unique_ptr<Array<int8_t>>> bytes_;
};

TYPED_TEST_SUITE(WeightsOnTheDevice, WeightTypes, NameOfType);

TYPED_TEST(WeightsOnTheDevice, GiveTheEmbeddingTheyWereMadeOf) {
  constexpr Type type = TestFixture::kType;
  constexpr int n = TestFixture::kInputs;
  const RandomWeights weights(type, 5, n, this->random_);
  const Array<std::byte> rows(this->device_, weights.device);
  const Array<int32_t> tokens(this->device_, std::vector<int32_t>{3, 0, 4});
  const Array<float> out(this->device_, 3 * n);
  const Status status = launch<Embed<type>>(this->device_, {1, 3}, {rows.data(), weights.row_bytes, tokens.data(), out.data(), n});
  ASSERT_TRUE(status) << status.to_string();
  const std::vector<float> got = out.values();
  for (int t = 0; t < 3; ++t)
    for (int i = 0; i < n; ++i) {
      const float want = weights.row(std::array{3, 0, 4}[static_cast<size_t>(t)], n)[i];
      ASSERT_NEAR(got[static_cast<size_t>(t * n + i)], want, std::abs(want) * 1e-5 + 1e-6) << t << " " << i;
    }
}

TYPED_TEST(WeightsOnTheDevice, TimesOneRowAreTheSumOfProducts) {
  constexpr Type type = TestFixture::kType;
  constexpr int n = TestFixture::kInputs, outputs = 6, matrices = 2, tokens = 2;
  const RandomWeights weights(type, outputs * matrices, n, this->random_);
  const RandomInput x(tokens * matrices, n, this->random_);
  const std::vector<float> bias = random_floats(outputs, this->random_);
  const Array<std::byte> rows(this->device_, weights.device);
  const Array<float> biases(this->device_, bias), out(this->device_, tokens * matrices * outputs);
  const Stack stack{rows.data(), weights.row_bytes, weights.row_bytes * outputs, n, outputs};
  const Status status = launch<MatVecs<1>>(this->device_, {2, tokens, matrices},
                                           {{{stack, type, out.data(), outputs, biases.data()}}, 1, this->input(x), tokens, matrices});
  ASSERT_TRUE(status) << status.to_string();
  const std::vector<float> got = out.values();
  for (int t = 0; t < tokens; ++t)
    for (int z = 0; z < matrices; ++z)
      for (int o = 0; o < outputs; ++o)
        ASSERT_NEAR(got[static_cast<size_t>((t * matrices + z) * outputs + o)],
                    dot(weights.row(z * outputs + o, n), TestFixture::met(x).data() + (t * matrices + z) * n, n) + bias[static_cast<size_t>(o)], 2e-3);
}

TYPED_TEST(WeightsOnTheDevice, TimesSeveralRowsAreReadOnceForEight) {
  constexpr Type type = TestFixture::kType;
  constexpr int n = TestFixture::kInputs, outputs = 5, tokens = 11;
  const RandomWeights weights(type, outputs, n, this->random_);
  const RandomInput x(tokens, n, this->random_);
  const Array<std::byte> rows(this->device_, weights.device);
  const Array<float> out(this->device_, tokens * outputs);
  const Status status = launch<MatVecs<8>>(
      this->device_, {2, 2}, {{{{rows.data(), weights.row_bytes, 0, n, outputs}, type, out.data(), outputs, nullptr}}, 1, this->input(x), tokens, 1});
  ASSERT_TRUE(status) << status.to_string();
  const std::vector<float> got = out.values();
  for (int t = 0; t < tokens; ++t)
    for (int o = 0; o < outputs; ++o)
      ASSERT_NEAR(got[static_cast<size_t>(t * outputs + o)], dot(weights.row(o, n), TestFixture::met(x).data() + t * n, n), 2e-3);
}

TYPED_TEST(WeightsOnTheDevice, OfChosenExpertsAreGatedAndSummedByWeight) {
  constexpr Type type = TestFixture::kType;
  constexpr int n = TestFixture::kInputs, width = row_layout(type).block_values == 256 ? 256 : is_quantized(type) ? 64 : 41;
  constexpr int experts = 3, tokens = 2, used = 2;
  const RandomWeights gate(type, experts * width, n, this->random_), up(type, experts * width, n, this->random_), down(type, experts * 6, width, this->random_);
  const RandomInput x(tokens, n, this->random_);
  const std::vector<Choice> chosen = {{2, 0.75f}, {0, 0.5f}, {1, 1.5f}, {2, 0.25f}};
  Device& device = this->device_;
  const Array<std::byte> gates(device, gate.device), ups(device, up.device), downs(device, down.device);
  const Array<Choice> choices(device, chosen);
  constexpr int stride = round_up(width, 32);
  const Array<float> values(device, tokens * used * width), scales(device, tokens * used * stride / 32);
  const Array<int8_t> q(device, tokens * used * stride);
  const Stack of_gate{gates.data(), gate.row_bytes, gate.row_bytes * width, n, width};
  const Stack of_up{ups.data(), up.row_bytes, up.row_bytes * width, n, width};
  Status status = launch<Gated>(
      device, {divide_up(width, 32) * used, tokens},
      {{{of_gate, of_up, type, type, {choices.data(), used}, values.data(), width, {q.data(), scales.data(), stride}}}, this->input(x)});
  ASSERT_TRUE(status) << status.to_string();
  const std::vector<float> h = values.values(), s = scales.values();
  const std::vector<int8_t> bytes = q.values();
  std::vector<float> met(h);
  for (int p = 0; p < tokens * used; ++p)
    for (int i = 0; i < width; ++i) {
      const int row = chosen[static_cast<size_t>(p)].expert * width + i;
      const float* const in = TestFixture::met(x).data() + p / used * n;
      const double g = dot(gate.row(row, n), in, n), want = g / (1 + std::exp(-g)) * dot(up.row(row, n), in, n);
      ASSERT_NEAR(h[static_cast<size_t>(p * width + i)], want, 1e-2 + std::abs(want) * 1e-4);
      const float scale = s[static_cast<size_t>(p * stride / 32 + i / 32)];
      const float rounded = scale * static_cast<float>(bytes[static_cast<size_t>(p * stride + i)]);
      ASSERT_NEAR(rounded, h[static_cast<size_t>(p * width + i)], scale * 0.51);
      if (is_quantized(type)) met[static_cast<size_t>(p * width + i)] = rounded;
    }
  const Array<float> out(device, std::vector<float>(tokens * 6, 1.0f));
  status = launch<Down>(device, {2, tokens},
                        {{{{downs.data(), down.row_bytes, down.row_bytes * 6, width, 6}, type, {values.data(), width, q.data(), scales.data(), stride},
                           {choices.data(), used}}},
                         out.data(), true});
  ASSERT_TRUE(status) << status.to_string();
  const std::vector<float> got = out.values();
  for (int t = 0; t < tokens; ++t)
    for (int o = 0; o < 6; ++o) {
      double want = 1;
      for (int k = 0; k < used; ++k) {
        const Choice& choice = chosen[static_cast<size_t>(t * used + k)];
        want += double{choice.weight} * dot(down.row(choice.expert * 6 + o, width), met.data() + (t * used + k) * width, width);
      }
      ASSERT_NEAR(got[static_cast<size_t>(t * 6 + o)], want, 2e-2 + std::abs(want) * 1e-4);
    }
}

}  // namespace
}  // namespace wenqu::test
