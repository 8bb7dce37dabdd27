#include "engine/cuda/kernels/warpgroups.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/cuda/kernel_list.h"
#include "engine/cuda/warpgroup_check.h"
#include "tests/engine/cuda/device_memory.h"
#include "tests/engine/cuda/stack_of.h"
#include "tests/engine/cuda/test_device.h"
#include "tests/engine/cuda/weights_fixture.h"

namespace wenqu::test {
namespace {

using engine::gguf::Type;

// Rows of input as halves; on the device, and as floats for the reference.
struct HalvedRows {
  std::vector<float> host;
  Array<float> values;
  int stride;
  Array<Half> halves;
  Array<float> scales;
  HalvedRows(Device& device, const std::vector<float>& numbers, int rows, int n)
      : host(numbers), values(device, numbers), stride(round_up(n, kTileDepth)), halves(device, static_cast<size_t>(rows * stride)),
        scales(device, static_cast<size_t>(rows)) {
    const Status status = launch<HalveRows>(device, {static_cast<unsigned>(rows)}, {values.data(), n, n, {halves.data(), scales.data(), stride}});
    EXPECT_TRUE(status) << status.to_string();
    const std::vector<Half> got = halves.values();
    const std::vector<float> of_rows = scales.values();
    for (int r = 0; r < rows; ++r)
      for (int i = 0; i < n; ++i)
        host[static_cast<size_t>(r * n + i)] = of_rows[static_cast<size_t>(r)] * engine::cpu::half_to_float(got[static_cast<size_t>(r * stride + i)].bits);
  }
  Halves input() const { return {halves.data(), scales.data(), stride}; }
};

class RowsAsHalves : public testing::Test {
 protected:
  void SetUp() override {
    if (!device_.emulator() && !device_.info().warpgroups) GTEST_SKIP() << "the GPU has no warpgroups' products";
  }
  TestDevice device_;
  std::mt19937 random_{3};
};

TEST_F(RowsAsHalves, AreNearTheirNumbersWhateverTheirSize) {
  const int n = 100, rows = 3;
  for (const float size : {1e-30f, 1e-6f, 1.0f, 3e4f, 1e20f, 3e37f}) {
    const std::vector<float> values = random_floats(rows * n, random_, size);
    const HalvedRows x(device_, values, rows, n);
    for (int r = 0; r < rows; ++r) {
      float largest = 0;
      for (int i = 0; i < n; ++i) largest = std::max(largest, std::abs(values[static_cast<size_t>(r * n + i)]));
      for (int i = 0; i < n; ++i) {
        const size_t at = static_cast<size_t>(r * n + i);
        ASSERT_NEAR(x.host[at], values[at], std::max(std::abs(values[at]) * 0x1p-11, double{largest} * 0x1p-38)) << size;
      }
    }
    const std::vector<Half> halves = x.halves.values();
    for (int i = n; i < x.stride; ++i) ASSERT_EQ(halves[static_cast<size_t>(i)].bits, 0);
  }
}

TEST_F(RowsAsHalves, OfZerosAreZerosAndOfInfinitiesAreNoNumbers) {
  const float infinity = std::numeric_limits<float>::infinity();
  const HalvedRows x(device_, {0, 0, 0, -0.0f, 1, 2, -infinity, 3}, 2, 4);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(x.host[static_cast<size_t>(i)], 0);
  for (int i = 4; i < 8; ++i) EXPECT_TRUE(std::isnan(x.host[static_cast<size_t>(i)]));
}

template <typename T>
class ProductsByWarpgroups : public RowsAsHalves {
 protected:
  static constexpr Type kType = T::value;
  // Not a multiple of a tile's depth where the type lets it be.
  static constexpr int kInputs = row_layout(kType).block_values == 256 ? 512 : is_quantized(kType) ? 160 : 192;

  struct Weights : StackOf {
    Weights(Device& device, int matrices, int outputs, int inputs, std::mt19937& random) : StackOf(device, kType, matrices, outputs, inputs, random) {}
    // The product, and how far rounding the weights to halves may move it.
    void times(int matrix, int row, const float* x, double& product, double& tolerance) const {
      const float* const w = host.row(matrix * stack.outputs + row, stack.inputs);
      product = dot(w, x, stack.inputs);
      tolerance = 1e-5;
      for (int i = 0; i < stack.inputs; ++i) tolerance += std::abs(double{w[i]} * x[i]) * 0x1p-11;
    }
  };
};

using TypesOfWarpgroups = testing::Types<OfType<Type::f16>, OfType<Type::q8_0>, OfType<Type::q4_0>, OfType<Type::q4_1>, OfType<Type::q5_0>, OfType<Type::q5_1>,
                                         OfType<Type::iq4_nl>, OfType<Type::q2_k>, OfType<Type::q3_k>, OfType<Type::q4_k>, OfType<Type::q5_k>,
                                         OfType<Type::q6_k>, OfType<Type::iq4_xs>>;
TYPED_TEST_SUITE(ProductsByWarpgroups, TypesOfWarpgroups, NameOfType);

TYPED_TEST(ProductsByWarpgroups, AreOfEveryRowAndOutput) {
  constexpr Type type = TestFixture::kType;
  constexpr int n = TestFixture::kInputs, outputs = 141;
  Device& device = this->device_;
  const typename TestFixture::Weights weights(device, 1, outputs, n, this->random_);
  const std::vector<float> bias = random_floats(outputs, this->random_);
  const Array<float> biases(device, bias);
  for (const int tokens : {1, 64, 65, 133}) {
    const HalvedRows x(device, random_floats(tokens * n, this->random_), tokens, n);
    const bool add = tokens == 65;
    const Array<float> out(device, std::vector<float>(static_cast<size_t>(tokens * outputs), 1.0f));
    const Status status = launch<WarpgroupMatMul<type>>(device, {2, static_cast<unsigned>(divide_up(tokens, warpgroups::kRows))},
                                                        {weights.stack, x.input(), {nullptr, nullptr, 1, tokens, 1}, out.data(), outputs, biases.data(), add});
    ASSERT_TRUE(status) << status.to_string();
    const std::vector<float> got = out.values();
    for (int t = 0; t < tokens; ++t)
      for (int o = 0; o < outputs; ++o) {
        double want, tolerance;
        weights.times(0, o, x.host.data() + t * n, want, tolerance);
        ASSERT_NEAR(got[static_cast<size_t>(t * outputs + o)], want + bias[static_cast<size_t>(o)] + (add ? 1 : 0), tolerance) << tokens << " tokens: " << t << " " << o;
      }
  }
}

TYPED_TEST(ProductsByWarpgroups, OfChosenExpertsAreGatedAndBroughtDown) {
  constexpr Type type = TestFixture::kType;
  constexpr int n = TestFixture::kInputs, width = row_layout(type).block_values == 256 ? 256 : is_quantized(type) ? 96 : 64;
  constexpr int experts = 4, outputs = 5, used = 2, tokens = 90, places = tokens * used;
  Device& device = this->device_;
  const typename TestFixture::Weights gate(device, experts, width, n, this->random_), up(device, experts, width, n, this->random_);
  const typename TestFixture::Weights down(device, experts, outputs, width, this->random_);
  const HalvedRows x(device, random_floats(tokens * n, this->random_), tokens, n);
  std::vector<Choice> chosen;   // all choose expert 2, which has two tiles, one chooses 3, none chooses 0
  for (int t = 0; t < tokens; ++t) chosen.push_back({t == 5 ? 3 : t % 2 ? 1 : 2, 0.5f}), chosen.push_back({t == 5 || t % 2 == 0 ? 1 : 2, 0.25f});
  for (int t = 0; t < tokens; t += 2) chosen[static_cast<size_t>(2 * t + 1)].expert = 2;
  const Array<Choice> choices(device, chosen);
  const Array<int32_t> order(device, places);
  const int rows = warpgroups::kRows;
  const Array<Tile> tiles(device, static_cast<size_t>(most_tiles(places, experts, rows)));
  Status status = launch<SortByExpert>(device, {experts}, {choices.data(), places, experts, order.data(), tiles.data(), rows});
  ASSERT_TRUE(status) << status.to_string();
  const auto count = static_cast<unsigned>(tiles.size());
  const Array<float> values(device, static_cast<size_t>(places * width)), parts(device, static_cast<size_t>(places * outputs));
  status = launch<WarpgroupGated<type>>(device, {static_cast<unsigned>(divide_up(width, 64)), count},
                                        {gate.stack, up.stack, x.input(), {tiles.data(), order.data(), used}, values.data(), width});
  ASSERT_TRUE(status) << status.to_string();
  const std::vector<float> h = values.values();
  for (int p = 0; p < places; ++p)
    for (int i = 0; i < width; ++i) {
      const int expert = chosen[static_cast<size_t>(p)].expert;
      double g, u, off_g, off_u;
      gate.times(expert, i, x.host.data() + p / used * n, g, off_g), up.times(expert, i, x.host.data() + p / used * n, u, off_u);
      const double silu = g / (1 + std::exp(-g));
      ASSERT_NEAR(h[static_cast<size_t>(p * width + i)], silu * u, std::abs(silu) * off_u + 1.1 * off_g * (std::abs(u) + off_u) + 1e-4) << p << " " << i;
    }
  const HalvedRows met(device, h, places, width);
  status = launch<WarpgroupMatMul<type>>(device, {1, count}, {down.stack, met.input(), {tiles.data(), order.data()}, parts.data(), outputs, nullptr, false});
  ASSERT_TRUE(status) << status.to_string();
  const std::vector<float> got = parts.values();
  for (int p = 0; p < places; ++p)
    for (int o = 0; o < outputs; ++o) {
      double want, tolerance;
      down.times(chosen[static_cast<size_t>(p)].expert, o, met.host.data() + p * width, want, tolerance);
      ASSERT_NEAR(got[static_cast<size_t>(p * outputs + o)], want, tolerance);
    }
}

// A device that gives one wrong number.
class Wrong final : public Device {
 public:
  explicit Wrong(Device& device) : device_(device) {}
  const DeviceInfo& info() const override { return device_.info(); }
  size_t free_bytes() const override { return device_.free_bytes(); }
  Result<void*> allocate(size_t bytes) override { return device_.allocate(bytes); }
  void release(void* memory) noexcept override { device_.release(memory); }
  Status upload(void* to, const void* from, size_t bytes) override { return device_.upload(to, from, bytes); }
  Status copy(void* to, const void* from, size_t bytes) override { return device_.copy(to, from, bytes); }
  Status clear(void* memory, size_t bytes) override { return device_.clear(memory, bytes); }
  Status receive(void* to, Device& from, const void* there, size_t bytes) override { return device_.receive(to, from, there, bytes); }
  Status download(void* to, const void* from, size_t bytes) override {
    const Status status = device_.download(to, from, bytes);
    static_cast<std::byte*>(to)[bytes - 2] ^= std::byte{1};
    return status;
  }
  Status synchronize() override { return device_.synchronize(); }
  Status launch(const Launch& launch) override { return device_.launch(launch); }
  Status begin_recording() override { return device_.begin_recording(); }
  Result<Graph*> end_recording() override { return device_.end_recording(); }
  Status replay(Graph& graph) override { return device_.replay(graph); }
  void discard(Graph* graph) noexcept override { device_.discard(graph); }

 private:
  Device& device_;
};

TEST_F(RowsAsHalves, AreMultipliedRightlyOrTheDeviceIsNotTrusted) {
  const size_t before = device_.free_bytes();
  const Result<bool> right = engine::cuda::multiplies_by_warpgroups(device_);
  ASSERT_TRUE(right) << right.status().to_string();
  EXPECT_TRUE(*right);
  Wrong wrong(device_);
  const Result<bool> trusted = engine::cuda::multiplies_by_warpgroups(wrong);
  ASSERT_TRUE(trusted) << trusted.status().to_string();
  EXPECT_FALSE(*trusted);
  if (device_.emulator()) {
    EXPECT_EQ(device_.free_bytes(), before);
  }
}

}  // namespace
}  // namespace wenqu::test
