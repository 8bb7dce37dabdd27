#include "engine/cuda/kernels/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/cuda/kernel_list.h"
#include "tests/engine/cuda/device_memory.h"
#include "tests/engine/cuda/stack_of.h"
#include "tests/engine/cuda/weights_fixture.h"
#include "tests/engine/cuda/test_device.h"

namespace wenqu::test {
namespace {

using engine::gguf::Type;

template <typename T>
class ProductsOfManyRows : public testing::Test {
 protected:
  static constexpr Type kType = T::value;
  // Not a multiple of the depth of a tile where the type lets it be.
  static constexpr int kInputs = row_layout(kType).block_values == 256 ? 256 : is_quantized(kType) ? 160 : 83;

  struct Rows {
    RandomInput host;
    Array<float> values, scales;
    Array<int8_t> q;
    Rows(Device& device, int rows, int n, std::mt19937& random)
        : host(rows, n, random), values(device, host.values), scales(device, host.scales), q(device, host.q) {}
    Input input() const { return {values.data(), host.n, q.data(), scales.data(), host.stride}; }
    const float* row(int r) const { return (is_quantized(kType) ? host.rounded : host.values).data() + r * host.n; }
  };
  struct Weights : StackOf {
    Weights(Device& device, int matrices, int outputs, int inputs, std::mt19937& random) : StackOf(device, kType, matrices, outputs, inputs, random) {}
  };
  // Places sorted by an expert, as SortByExpert does.
  struct Sorted {
    Array<int32_t> order;
    Array<Tile> tiles;
    unsigned count;
    Sorted(Device& device, const std::vector<Choice>& chosen, int experts)
        : order(device, chosen.size()), tiles(device, static_cast<size_t>(most_tiles(static_cast<int>(chosen.size()), experts))),
          count(static_cast<unsigned>(tiles.size())) {
      const Array<Choice> choices(device, chosen);
      const Status status = launch<SortByExpert>(device, {static_cast<unsigned>(experts)},
                                                 {choices.data(), static_cast<int>(chosen.size()), experts, order.data(), tiles.data()});
      EXPECT_TRUE(status) << status.to_string();
    }
  };

  std::mt19937 random_{9};
  TestDevice device_;
};

TYPED_TEST_SUITE(ProductsOfManyRows, WeightTypes, NameOfType);

TYPED_TEST(ProductsOfManyRows, AreMultipliedByEachMatrixOfAStack) {
  constexpr Type type = TestFixture::kType;
  constexpr int n = TestFixture::kInputs, outputs = 69, matrices = 2;
  Device& device = this->device_;
  const typename TestFixture::Weights weights(device, matrices, outputs, n, this->random_);
  const std::vector<float> bias = random_floats(outputs, this->random_);
  const Array<float> biases(device, bias);
  for (const int tokens : {1, 9, 33, 130}) {
    const typename TestFixture::Rows x(device, tokens * matrices, n, this->random_);
    const Array<float> out(device, std::vector<float>(static_cast<size_t>(tokens * matrices * outputs), 1.0f));
    const bool add = tokens == 33;
    const Status status = launch<MatMul<type>>(device, {2, static_cast<unsigned>(divide_up(tokens, kTileRows)), matrices},
                                               {weights.stack, x.input(), {nullptr, nullptr, 1, tokens, matrices}, out.data(), outputs, biases.data(), add});
    ASSERT_TRUE(status) << status.to_string();
    const std::vector<float> got = out.values();
    for (int t = 0; t < tokens; ++t)
      for (int z = 0; z < matrices; ++z)
        for (int o = 0; o < outputs; ++o)
          ASSERT_NEAR(got[static_cast<size_t>((t * matrices + z) * outputs + o)],
                      weights.times(z, o, x.row(t * matrices + z)) + bias[static_cast<size_t>(o)] + (add ? 1 : 0), 1e-3)
              << tokens << " tokens: " << t << " " << z << " " << o;
  }
}

TYPED_TEST(ProductsOfManyRows, GiveWhatOneRowGives) {
  constexpr Type type = TestFixture::kType;
  constexpr int n = TestFixture::kInputs, outputs = 20, tokens = 17;
  Device& device = this->device_;
  const typename TestFixture::Weights weights(device, 1, outputs, n, this->random_);
  const typename TestFixture::Rows x(device, tokens, n, this->random_);
  const Array<float> many(device, tokens * outputs), one(device, tokens * outputs);
  Status status = launch<MatMul<type>>(device, {1}, {weights.stack, x.input(), {nullptr, nullptr, 1, tokens, 1}, many.data(), outputs, nullptr, false});
  ASSERT_TRUE(status) << status.to_string();
  status = launch<MatVecs<1>>(device, {divide_up(outputs, 4), tokens}, {{{weights.stack, type, one.data(), outputs, nullptr}}, 1, x.input(), tokens, 1});
  ASSERT_TRUE(status) << status.to_string();
  const std::vector<float> a = many.values(), b = one.values();
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-4) << i;
}

TYPED_TEST(ProductsOfManyRows, OfChosenExpertsAreGatedAndBroughtDown) {
  constexpr Type type = TestFixture::kType;
  constexpr int n = TestFixture::kInputs, width = row_layout(type).block_values == 256 ? 256 : is_quantized(type) ? 64 : 41;
  constexpr int experts = 4, outputs = 5, used = 2, stride = round_up(width, kBlock);
  Device& device = this->device_;
  const typename TestFixture::Weights gate(device, experts, width, n, this->random_), up(device, experts, width, n, this->random_);
  const typename TestFixture::Weights down(device, experts, outputs, width, this->random_);
  for (const int tokens : {1, 9, 70}) {
    const int places = tokens * used;
    const typename TestFixture::Rows x(device, tokens, n, this->random_);
    std::vector<Choice> chosen;   // all choose expert 2, one chooses 3, none chooses 0
    for (int t = 0; t < tokens; ++t) chosen.push_back({t == 5 ? 3 : 1, 0.5f}), chosen.push_back({2, 0.25f});
    const typename TestFixture::Sorted sorted(device, chosen, experts);
    const RowTiles by_token{sorted.tiles.data(), sorted.order.data(), used}, by_place{sorted.tiles.data(), sorted.order.data()};
    const Array<float> values(device, static_cast<size_t>(places * width)), scales(device, static_cast<size_t>(places * stride / kBlock));
    const Array<int8_t> q(device, static_cast<size_t>(places * stride));
    Status status = launch<GatedTiles<type>>(device, {stride / kBlock, sorted.count},
                                             {gate.stack, up.stack, x.input(), by_token, values.data(), width, {q.data(), scales.data(), stride}});
    ASSERT_TRUE(status) << status.to_string();
    const std::vector<float> h = values.values(), s = scales.values();
    const std::vector<int8_t> bytes = q.values();
    std::vector<float> met(h);
    for (int p = 0; p < places; ++p)
      for (int i = 0; i < width; ++i) {
        const size_t at = static_cast<size_t>(p * width + i);
        const int expert = chosen[static_cast<size_t>(p)].expert;
        const double g = gate.times(expert, i, x.row(p / used)), want = g / (1 + std::exp(-g)) * up.times(expert, i, x.row(p / used));
        ASSERT_NEAR(h[at], want, 5e-3 + std::abs(want) * 1e-4) << tokens << " tokens: " << p << " " << i;
        const float scale = s[static_cast<size_t>(p * stride / kBlock + i / kBlock)];
        const float rounded = scale * static_cast<float>(bytes[static_cast<size_t>(p * stride + i)]);
        ASSERT_NEAR(rounded, h[at], scale * 0.51);
        if (is_quantized(type)) met[at] = rounded;
      }
    const Array<float> parts(device, static_cast<size_t>(places * outputs));
    status = launch<MatMul<type>>(device, {1, sorted.count},
                                  {down.stack, {values.data(), width, q.data(), scales.data(), stride}, by_place, parts.data(), outputs, nullptr, false});
    ASSERT_TRUE(status) << status.to_string();
    const std::vector<float> got = parts.values();
    for (int p = 0; p < places; ++p)
      for (int o = 0; o < outputs; ++o) {
        const double want = down.times(chosen[static_cast<size_t>(p)].expert, o, met.data() + p * width);
        ASSERT_NEAR(got[static_cast<size_t>(p * outputs + o)], want, 1e-2 + std::abs(want) * 1e-4);
      }
  }
}

// Beyond the range of half floats, on either side.
TEST(FloatsOfManyRows, KeepTheirPrecisionWhateverTheirSize) {
  std::mt19937 random(2);
  TestDevice device;
  const int outputs = 8, n = 96, tokens = 9;
  for (const float size : {1e-12f, 1e-5f, 1.0f, 1e9f}) {
    std::vector<float> weights = random_floats(outputs * n, random, size), input = random_floats(tokens * n, random, 1e6f);
    std::fill_n(weights.begin(), 32, 0.0f);   // blocks of zeros
    std::fill_n(input.begin() + 32, 32, 0.0f);
    const Array<float> data(device, weights), values(device, input), out(device, tokens * outputs);
    const Stack stack{reinterpret_cast<const std::byte*>(data.data()), n * sizeof(float), 0, n, outputs};
    const Status status = launch<MatMul<Type::f32>>(
        device, {1}, {stack, {values.data(), n, nullptr, nullptr, 0}, {nullptr, nullptr, 1, tokens, 1}, out.data(), outputs, nullptr, false});
    ASSERT_TRUE(status) << status.to_string();
    const std::vector<float> got = out.values();
    const double tolerance = double{size} * 1e6 * std::sqrt(n) * 2e-6;
    for (int t = 0; t < tokens; ++t)
      for (int o = 0; o < outputs; ++o)
        ASSERT_NEAR(got[static_cast<size_t>(t * outputs + o)], dot(weights.data() + o * n, input.data() + t * n, n), tolerance) << size;
  }
}

// What is read of the weights: once for each tile of rows.
TEST(RowsOfOneTile, ShareOneReadingOfTheWeights) {
  std::mt19937 random(1);
  TestDevice device;
  if (!device.emulator()) GTEST_SKIP() << "a GPU does not tell what it reads";
  const int outputs = 64, n = 512;
  const RandomWeights weights(Type::q8_0, outputs, n, random);
  const Array<std::byte> data(device, weights.device);
  const auto bytes_loaded = [&](int tokens) {
    const RandomInput x(tokens, n, random);
    const Array<float> values(device, x.values), scales(device, x.scales), out(device, static_cast<size_t>(tokens * outputs));
    const Array<int8_t> q(device, x.q);
    const uint64_t before = device.emulator()->bytes_loaded();
    const Status status = launch<MatMul<Type::q8_0>>(device, {1, static_cast<unsigned>(divide_up(tokens, kTileRows))},
                                                     {{data.data(), weights.row_bytes, 0, n, outputs}, {values.data(), n, q.data(), scales.data(), n},
                                                      {nullptr, nullptr, 1, tokens, 1}, out.data(), outputs, nullptr, false});
    EXPECT_TRUE(status) << status.to_string();
    return device.emulator()->bytes_loaded() - before;
  };
  const uint64_t of_weights = weights.device.size(), of_a_row = static_cast<uint64_t>(n + n / kBlock * 4);
  EXPECT_EQ(bytes_loaded(8), of_weights + 8 * of_a_row);
  EXPECT_EQ(bytes_loaded(64), of_weights + 64 * of_a_row);
  EXPECT_EQ(bytes_loaded(128), 2 * of_weights + 128 * of_a_row);
}

}  // namespace
}  // namespace wenqu::test
