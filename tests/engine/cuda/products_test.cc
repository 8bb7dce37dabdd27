#include "engine/cuda/products.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "engine/cuda/kernel_list.h"
#include "tests/engine/cuda/device_memory.h"
#include "tests/engine/cuda/stack_of.h"
#include "tests/engine/cuda/weights_fixture.h"
#include "tests/engine/cuda/test_device.h"

namespace wenqu::test {
namespace {

using engine::gguf::Type;

// An input of a device, and what it was made of.
struct InputOf {
  RandomInput host;
  Array<float> values, scales;
  Array<int8_t> q;
  InputOf(Device& device, int rows, int n, std::mt19937& random)
      : host(rows, n, random), values(device, host.values), scales(device, host.scales), q(device, host.q) {}
  Input input() const { return {values.data(), host.n, q.data(), scales.data(), host.stride}; }
  const float* row(Type type, int r) const { return (is_quantized(type) ? host.rounded : host.values).data() + r * host.n; }
};

class Products : public testing::Test {
 protected:
  std::mt19937 random_{11};
  TestDevice device_;
};

TEST_F(Products, AreTheSameForAnyNumberOfTokens) {
  for (const Type type : {Type::q4_k, Type::f16})
    for (const int tokens : {1, 5, 19}) {
      const int matrices = 2, outputs = 7, n = 256;
      const StackOf weights(device_, type, matrices, outputs, n, random_);
      const InputOf x(device_, tokens * matrices, n, random_);
      const std::vector<float> bias = random_floats(outputs, random_);
      const Array<float> biases(device_, bias), out(device_, static_cast<size_t>(tokens * matrices * outputs));
      const Status status = multiply(device_, weights.stack, type, x.input(), tokens, matrices, out.data(), outputs, biases.data());
      ASSERT_TRUE(status) << status.to_string();
      const std::vector<float> got = out.values();
      for (int t = 0; t < tokens; ++t)
        for (int z = 0; z < matrices; ++z)
          for (int o = 0; o < outputs; ++o)
            ASSERT_NEAR(got[static_cast<size_t>((t * matrices + z) * outputs + o)],
                        weights.times(z, o, x.row(type, t * matrices + z)) + bias[static_cast<size_t>(o)], 2e-3);
    }
}

// Few tokens in one launch, of any types.
TEST_F(Products, OfSeveralMatricesWithTheSameRowsAreGivenTogether) {
  const Type types[] = {Type::q5_0, Type::f32, Type::q8_0};
  const int outputs[] = {9, 4, 18}, n = 64;
  for (const int tokens : {1, 7, 12}) {
    const InputOf x(device_, tokens, n, random_);
    std::vector<std::unique_ptr<StackOf>> weights;
    std::vector<std::unique_ptr<Array<float>>> out;
    const std::vector<float> bias = random_floats(18, random_);
    const Array<float> biases(device_, bias);
    std::vector<Product> products;
    for (size_t i = 0; i < 3; ++i) {
      weights.push_back(std::make_unique<StackOf>(device_, types[i], 1, outputs[i], n, random_));
      out.push_back(std::make_unique<Array<float>>(device_, static_cast<size_t>(tokens * outputs[i])));
      products.push_back({weights[i]->stack, types[i], out[i]->data(), outputs[i], i == 2 ? biases.data() : nullptr});
    }
    const size_t before = device_.emulator() ? device_.emulator()->launches() : 0;
    const Status status = multiply(device_, products, x.input(), tokens);
    ASSERT_TRUE(status) << status.to_string();
    if (device_.emulator()) {
      EXPECT_EQ(device_.emulator()->launches() - before, tokens <= 8 ? 1u : 3u);
    }
    for (size_t i = 0; i < 3; ++i) {
      const std::vector<float> got = out[i]->values();
      for (int t = 0; t < tokens; ++t)
        for (int o = 0; o < outputs[i]; ++o)
          ASSERT_NEAR(got[static_cast<size_t>(t * outputs[i] + o)],
                      weights[i]->times(0, o, x.row(types[i], t)) + (i == 2 ? bias[static_cast<size_t>(o)] : 0), 2e-3)
              << tokens << " " << i;
    }
  }
}

TEST_F(Products, AreRoundedWhereTheNextOneWantsThemSo) {
  const int matrices = 3, outputs = 64, n = 96, all = matrices * outputs;
  const StackOf weights(device_, Type::q8_0, matrices, outputs, n, random_);
  for (const int tokens : {1, 3, 9}) {
    const InputOf x(device_, tokens * matrices, n, random_);
    const Array<float> out(device_, static_cast<size_t>(tokens * all)), scales(device_, static_cast<size_t>(tokens * all / 32));
    const Array<int8_t> q(device_, static_cast<size_t>(tokens * all));
    const Status status =
        multiply_and_round(device_, weights.stack, Type::q8_0, x.input(), tokens, matrices, out.data(), {q.data(), scales.data(), all});
    ASSERT_TRUE(status) << status.to_string();
    const std::vector<float> got = out.values(), scale = scales.values();
    const std::vector<int8_t> bytes = q.values();
    for (int i = 0; i < tokens * all; ++i) {
      const size_t at = static_cast<size_t>(i);
      ASSERT_NEAR(got[at], weights.times(i % all / outputs, i % outputs, x.row(Type::q8_0, i / outputs)), 2e-3) << i;
      ASSERT_NEAR(scale[at / 32] * static_cast<float>(bytes[at]), got[at], scale[at / 32] * 0.51) << i;
    }
  }
}

// Routed experts and the shared one, as one after the other.
TEST_F(Products, OfExpertsThatAreChosenAndOfTheSharedOneAreAddedUp) {
  const int n = 64, width = 64, shared_width = 96, outputs = 9, experts_count = 4, used = 2;
  const StackOf gate(device_, Type::q8_0, experts_count, width, n, random_), up(device_, Type::q5_0, experts_count, width, n, random_);
  const StackOf down(device_, Type::q8_0, experts_count, outputs, width, random_);
  const StackOf shared_gate(device_, Type::f16, 1, shared_width, n, random_), shared_up(device_, Type::f16, 1, shared_width, n, random_);
  const StackOf shared_down(device_, Type::q5_1, 1, outputs, shared_width, random_);
  const FeedForward routed{gate.stack, up.stack, down.stack, Type::q8_0, Type::q5_0, Type::q8_0, experts_count};
  const FeedForward shared{shared_gate.stack, shared_up.stack, shared_down.stack, Type::f16, Type::f16, Type::q5_1, 0};
  for (const int tokens : {1, 3, 11}) {
    const InputOf x(device_, tokens, n, random_);
    std::vector<Choice> chosen;
    for (int i = 0; i < tokens * used; ++i) chosen.push_back({(i * 3 + i / used) % experts_count, 0.25f * static_cast<float>(1 + i % 3)});
    const Array<Choice> choices(device_, chosen);
    const Array<std::byte> scratch(device_, experts_scratch(routed, shared, tokens, used));
    const Array<float> together(device_, static_cast<size_t>(tokens * outputs)), apart(device_, static_cast<size_t>(tokens * outputs));
    Status status = experts(device_, routed, shared, x.input(), tokens, choices.data(), used, together.data(), scratch.data());
    ASSERT_TRUE(status) << status.to_string();
    status = feed_forward(device_, shared, x.input(), tokens, nullptr, 1, apart.data(), false, scratch.data());
    ASSERT_TRUE(status) << status.to_string();
    status = feed_forward(device_, routed, x.input(), tokens, choices.data(), used, apart.data(), true, scratch.data());
    ASSERT_TRUE(status) << status.to_string();
    const std::vector<float> got = together.values(), want = apart.values();
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-2 + std::abs(want[i]) * 1e-4) << tokens << " " << i;
  }
}

TEST_F(Products, OfARouterChooseTheExpertsOfEachToken) {
  const int count = 40, used = 5, n = 96;
  const std::vector<float> bias = random_floats(count, random_);
  const Array<float> biases(device_, bias);
  for (const Type type : {Type::f32, Type::q8_0}) {
    const StackOf router(device_, type, 1, count, n, random_);
    for (const int tokens : {1, 4, 10}) {
      const InputOf x(device_, tokens, n, random_);
      const Array<float> logits(device_, static_cast<size_t>(tokens * count));
      const Array<Choice> choices(device_, static_cast<size_t>(tokens * used));
      const Array<uint32_t> arrived(device_, std::vector<uint32_t>(static_cast<size_t>(tokens)));
      ChooseExperts::Arguments how{nullptr, biases.data(), count, used, true, true, 2.5f, 4, 2, choices.data()};
      Status status = route(device_, router.stack, type, x.input(), tokens, logits.data(), how, arrived.data());
      ASSERT_TRUE(status) << status.to_string();
      const std::vector<float> scores = logits.values();
      for (int t = 0; t < tokens; ++t)
        for (int e = 0; e < count; ++e) ASSERT_NEAR(scores[static_cast<size_t>(t * count + e)], router.times(0, e, x.row(type, t)), 1e-3);
      const std::vector<Choice> got = choices.values();
      how.logits = logits.data();
      ASSERT_TRUE(launch<ChooseExperts>(device_, {static_cast<unsigned>(tokens)}, how));
      const std::vector<Choice> want = choices.values();
      for (size_t i = 0; i < got.size(); ++i) {
        ASSERT_EQ(got[i].expert, want[i].expert) << i;
        ASSERT_EQ(got[i].weight, want[i].weight) << i;
      }
      EXPECT_EQ(arrived.values(), std::vector<uint32_t>(static_cast<size_t>(tokens)));
    }
  }
}

// The row is normed by the block that gives the last of it; many rows by a launch of their own.
TEST_F(Products, AreAddedAndNormedForTheNextPart) {
  const int outputs = 70, n = 64, stride = 96;
  const StackOf weights(device_, Type::q8_0, 1, outputs, n, random_);
  const std::vector<float> weight = random_floats(outputs, random_);
  const Array<float> norms(device_, weight);
  for (const int tokens : {1, 6, 10}) {
    const InputOf x(device_, tokens, n, random_);
    const size_t rows = static_cast<size_t>(tokens);
    const std::vector<float> before = random_floats(rows * outputs, random_);
    const Array<float> hidden(device_, before), delta(device_, rows * outputs), normed(device_, rows * outputs), scales(device_, rows * stride / 32);
    const Array<int8_t> q(device_, rows * stride);
    const Array<uint32_t> arrived(device_, std::vector<uint32_t>(rows));
    const Product product[] = {{weights.stack, Type::q8_0, delta.data(), outputs, nullptr}};
    const Status status = multiply(device_, product, x.input(), tokens,
                                   {{hidden.data(), delta.data(), norms.data(), normed.data(), {q.data(), scales.data(), stride}, outputs, 1e-6f},
                                    arrived.data()});
    ASSERT_TRUE(status) << status.to_string();
    const std::vector<float> sum = hidden.values(), got = normed.values(), scale = scales.values();
    const std::vector<int8_t> bytes = q.values();
    EXPECT_EQ(arrived.values(), std::vector<uint32_t>(rows));
    for (int t = 0; t < tokens; ++t) {
      std::vector<double> want;
      double squares = 0;
      for (int o = 0; o < outputs; ++o) {
        want.push_back(double{before[static_cast<size_t>(t * outputs + o)]} + weights.times(0, o, x.row(Type::q8_0, t)));
        squares += want.back() * want.back();
      }
      for (int o = 0; o < outputs; ++o) {
        const size_t at = static_cast<size_t>(t * outputs + o), i = static_cast<size_t>(o);
        ASSERT_NEAR(sum[at], want[i], 1e-3);
        ASSERT_NEAR(got[at], want[i] / std::sqrt(squares / outputs + 1e-6) * double{weight[i]}, 1e-3);
        const float step = scale[static_cast<size_t>(t * stride + o) / 32];
        ASSERT_NEAR(step * static_cast<float>(bytes[static_cast<size_t>(t * stride + o)]), got[at], step * 0.51);
      }
    }
  }
}

TEST_F(Products, OfAFeedForwardAreGatedWeightedAndSummed) {
  for (const auto& [mixture, up_type] : {std::pair(false, Type::q4_k), std::pair(true, Type::q4_k), std::pair(false, Type::q8_0), std::pair(true, Type::q8_0)})
    for (const int tokens : {1, 5, 19}) {
      const Type type = Type::q4_k, down_type = Type::q6_k;
      const int n = 256, width = 256, outputs = 9, experts = mixture ? 4 : 0, used = mixture ? 2 : 1;
      const StackOf gate(device_, type, std::max(experts, 1), width, n, random_), up(device_, up_type, std::max(experts, 1), width, n, random_);
      const StackOf down(device_, down_type, std::max(experts, 1), outputs, width, random_);
      const InputOf x(device_, tokens, n, random_);
      std::vector<Choice> chosen;
      for (int t = 0; t < tokens; ++t) {
        const int first = static_cast<int>(random_() % 4);
        chosen.push_back({first, 0.75f});
        chosen.push_back({(first + 1) % 4, 0.5f});
      }
      const Array<Choice> choices(device_, chosen);
      const FeedForward weights{gate.stack, up.stack, down.stack, type, up_type, down_type, experts};
      const Array<std::byte> scratch(device_, feed_forward_scratch(weights, tokens, used));
      const Array<float> out(device_, std::vector<float>(static_cast<size_t>(tokens * outputs), 1.0f));
      const Status status =
          feed_forward(device_, weights, x.input(), tokens, mixture ? choices.data() : nullptr, used, out.data(), mixture, scratch.data());
      ASSERT_TRUE(status) << status.to_string();
      const std::vector<float> got = out.values();
      for (int t = 0; t < tokens; ++t) {
        std::vector<double> want(static_cast<size_t>(outputs), mixture ? 1.0 : 0.0);
        double spread = 0;
        for (int k = 0; k < used; ++k) {
          const Choice choice = mixture ? chosen[static_cast<size_t>(t * 2 + k)] : Choice{0, 1};
          std::vector<float> h;
          for (int i = 0; i < width; ++i) {
            const double g = gate.times(choice.expert, i, x.row(type, t));
            h.push_back(static_cast<float>(g / (1 + std::exp(-g)) * up.times(choice.expert, i, x.row(type, t))));
            spread += double{h.back()} * h.back();
          }
          for (int o = 0; o < outputs; ++o) want[static_cast<size_t>(o)] += double{choice.weight} * down.times(choice.expert, o, h.data());
        }
        // What rounding to bytes may lose of it.
        for (int o = 0; o < outputs; ++o) ASSERT_NEAR(got[static_cast<size_t>(t * outputs + o)], want[static_cast<size_t>(o)], 0.03 * std::sqrt(spread)) << t;
      }
    }
}

// Where the device has them, and for rows enough; what comes of it is nearer to the weights times the floats.
TEST_F(Products, AreTakenByWarpgroups) {
  if (!device_.emulator()) GTEST_SKIP() << "a GPU has warpgroups or not";
  Emulator& emulator = *device_.emulator();
  const int n = 256, outputs = 130, tokens = 66, stride = round_up(n, kTileDepth);
  const Array<Half> halves(device_, static_cast<size_t>(tokens * stride));
  const Array<float> scales(device_, static_cast<size_t>(tokens));
  const InputOf x(device_, tokens, n, random_);
  Input with_room = x.input();
  with_room.halves = {halves.data(), scales.data(), stride};
  const StackOf weights(device_, Type::q4_k, 1, outputs, n, random_), floats(device_, Type::f32, 1, outputs, n, random_);
  const auto off = [&](const StackOf& stack, Type type, const Input& input, int rows, Rows kind, size_t launches) {
    const Array<float> out(device_, static_cast<size_t>(rows * outputs));
    const Product product[] = {{stack.stack, type, out.data(), outputs, nullptr}};
    const size_t before = emulator.launches_of(Kernels::number<WarpgroupMatMul<Type::q4_k>>());
    const Status status = multiply(device_, product, input, rows, {}, kind);
    EXPECT_TRUE(status) << status.to_string();
    EXPECT_EQ(emulator.launches_of(Kernels::number<WarpgroupMatMul<Type::q4_k>>()) - before, launches);
    const std::vector<float> got = out.values();
    double most = 0;
    for (int t = 0; t < rows; ++t)
      for (int o = 0; o < outputs; ++o) most = std::max(most, std::abs(got[static_cast<size_t>(t * outputs + o)] - stack.times(0, o, x.row(Type::f32, t))));
    return most;
  };
  EXPECT_LT(off(weights, Type::q4_k, with_room, tokens, Rows::fastest, 0), 0.5);   // not on this device
  emulator.set_warpgroups(true);
  EXPECT_LT(off(weights, Type::q4_k, with_room, tokens, Rows::fastest, 1), 0.02);
  EXPECT_LT(off(weights, Type::q4_k, with_room, tokens, Rows::alike, 0), 0.5);
  EXPECT_LT(off(weights, Type::q4_k, with_room, 63, Rows::fastest, 0), 0.5);
  EXPECT_LT(off(weights, Type::q4_k, x.input(), tokens, Rows::fastest, 0), 0.5);
  EXPECT_LT(off(floats, Type::f32, with_room, tokens, Rows::fastest, 0), 1e-3);
}

TEST_F(Products, OfSeveralMatricesShareTheirHalves) {
  if (!device_.emulator()) GTEST_SKIP() << "a GPU has warpgroups or not";
  Emulator& emulator = *device_.emulator();
  emulator.set_warpgroups(true);
  const int n = 64, outputs = 8, tokens = 70;
  const StackOf first(device_, Type::q8_0, 1, outputs, n, random_), second(device_, Type::q5_0, 1, outputs, n, random_);
  const InputOf x(device_, tokens, n, random_);
  const Array<Half> halves(device_, static_cast<size_t>(tokens * n));
  const Array<float> scales(device_, static_cast<size_t>(tokens)), out(device_, static_cast<size_t>(2 * tokens * outputs));
  Input input = x.input();
  input.halves = {halves.data(), scales.data(), n};
  const Product products[] = {{first.stack, Type::q8_0, out.data(), outputs, nullptr}, {second.stack, Type::q5_0, out.data() + tokens * outputs, outputs, nullptr}};
  const Status status = multiply(device_, products, input, tokens);
  ASSERT_TRUE(status) << status.to_string();
  EXPECT_EQ(emulator.launches_of(Kernels::number<HalveRows>()), 1u);
  const std::vector<float> got = out.values();
  for (int t = 0; t < tokens; ++t)
    for (int o = 0; o < outputs; ++o) {
      ASSERT_NEAR(got[static_cast<size_t>(t * outputs + o)], first.times(0, o, x.row(Type::f32, t)), 2e-2);
      ASSERT_NEAR(got[static_cast<size_t>((tokens + t) * outputs + o)], second.times(0, o, x.row(Type::f32, t)), 2e-2);
    }
}

TEST_F(Products, OfAFeedForwardAreTheSameByWarpgroups) {
  if (!device_.emulator()) GTEST_SKIP() << "a GPU has warpgroups or not";
  Emulator& emulator = *device_.emulator();
  for (const bool mixture : {false, true}) {
    const Type type = Type::q4_k, down_type = Type::q6_k;
    const int n = 256, width = 256, outputs = 9, experts = mixture ? 4 : 0, used = mixture ? 2 : 1, tokens = 65, stride = round_up(n, kTileDepth);
    const StackOf gate(device_, type, std::max(experts, 1), width, n, random_), up(device_, type, std::max(experts, 1), width, n, random_);
    const StackOf down(device_, down_type, std::max(experts, 1), outputs, width, random_);
    const InputOf x(device_, tokens, n, random_);
    const Array<Half> halves(device_, static_cast<size_t>(tokens * stride));
    const Array<float> scales(device_, static_cast<size_t>(tokens));
    Input input = x.input();
    input.halves = {halves.data(), scales.data(), stride};
    std::vector<Choice> chosen;
    for (int t = 0; t < tokens; ++t) {
      const int first = t % 9 == 0 ? 1 : 2;   // one expert has more rows than a tile of others
      chosen.push_back({first, 0.75f}), chosen.push_back({first == 2 ? 3 : 2, 0.5f});
    }
    const Array<Choice> choices(device_, chosen);
    const FeedForward weights{gate.stack, up.stack, down.stack, type, type, down_type, experts};
    const auto given = [&](bool warpgroups, bool add) {
      emulator.set_warpgroups(warpgroups);
      const Array<std::byte> scratch(device_, feed_forward_scratch(weights, tokens, used));
      const Array<float> out(device_, std::vector<float>(static_cast<size_t>(tokens * outputs), 1.0f));
      const size_t before = emulator.launches_of(Kernels::number<WarpgroupGated<Type::q4_k>>());
      const Status status = feed_forward(device_, weights, input, tokens, mixture ? choices.data() : nullptr, used, out.data(), add, scratch.data());
      EXPECT_TRUE(status) << status.to_string();
      EXPECT_EQ(emulator.launches_of(Kernels::number<WarpgroupGated<Type::q4_k>>()) - before, warpgroups ? 1u : 0u);
      return out.values();
    };
    for (const bool add : {false, true}) {
      const std::vector<float> got = given(true, add), want = given(false, add);
      double difference = 0, size = 0;
      for (size_t i = 0; i < got.size(); ++i) difference += std::pow(double{got[i]} - want[i], 2), size += std::pow(double{want[i]}, 2);
      EXPECT_LT(std::sqrt(difference / size), 0.02) << mixture << add;   // what bytes lose
    }
  }
}

// Gate and up of a type that warpgroups do not take give down's input as bytes alone.
TEST_F(Products, OfAFeedForwardAreRightWhereOnlyDownCouldGoByWarpgroups) {
  if (!device_.emulator()) GTEST_SKIP() << "a GPU has warpgroups or not";
  device_.emulator()->set_warpgroups(true);
  const int n = 64, width = 64, outputs = 130, tokens = 70;
  const StackOf gate(device_, Type::bf16, 1, width, n, random_), up(device_, Type::bf16, 1, width, n, random_), down(device_, Type::q8_0, 1, outputs, width, random_);
  const InputOf x(device_, tokens, n, random_);
  const Array<Half> halves(device_, static_cast<size_t>(tokens * n));
  const Array<float> scales(device_, static_cast<size_t>(tokens)), out(device_, static_cast<size_t>(tokens * outputs));
  Input input = x.input();
  input.halves = {halves.data(), scales.data(), n};
  const FeedForward weights{gate.stack, up.stack, down.stack, Type::bf16, Type::bf16, Type::q8_0, 1};
  const Array<std::byte> scratch(device_, feed_forward_scratch(weights, tokens, 1));
  const Status status = feed_forward(device_, weights, input, tokens, nullptr, 1, out.data(), false, scratch.data());
  ASSERT_TRUE(status) << status.to_string();
  const std::vector<float> got = out.values();
  for (int t = 0; t < tokens; ++t) {
    std::vector<float> h;
    double spread = 0;
    for (int i = 0; i < width; ++i) {
      const double g = gate.times(0, i, x.row(Type::bf16, t));
      h.push_back(static_cast<float>(g / (1 + std::exp(-g)) * up.times(0, i, x.row(Type::bf16, t))));
      spread += double{h.back()} * h.back();
    }
    for (int o = 0; o < outputs; ++o) ASSERT_NEAR(got[static_cast<size_t>(t * outputs + o)], down.times(0, o, h.data()), 0.06 * std::sqrt(spread)) << t;
  }
}

TEST_F(Products, OfMoreTokensThanTheScratchHoldsAreTakenInTurns) {
  const Type type = Type::q8_0;
  const int n = 32, width = 32, outputs = 3, experts = 16, used = 16, tokens = 1050;
  const StackOf gate(device_, type, experts, width, n, random_), up(device_, type, experts, width, n, random_);
  const StackOf down(device_, type, experts, outputs, width, random_);
  const InputOf x(device_, tokens, n, random_);
  std::vector<Choice> chosen;
  for (int t = 0; t < tokens; ++t)
    for (int k = 0; k < used; ++k) chosen.push_back({k, static_cast<float>((t + k) % 7) / 8});
  const Array<Choice> choices(device_, chosen);
  const FeedForward weights{gate.stack, up.stack, down.stack, type, type, type, experts};
  const size_t bytes = feed_forward_scratch(weights, tokens, used);
  EXPECT_EQ(bytes, feed_forward_scratch(weights, 2 * tokens, used));
  const Array<std::byte> scratch(device_, bytes);
  const Array<float> together(device_, static_cast<size_t>(tokens * outputs)), alone(device_, static_cast<size_t>(outputs));
  Status status = feed_forward(device_, weights, x.input(), tokens, choices.data(), used, together.data(), false, scratch.data());
  ASSERT_TRUE(status) << status.to_string();
  const std::vector<float> got = together.values();
  for (const int t : {0, 8, 63, 64, 1023, 1024, 1049}) {
    const Input row{x.values.data() + t * n, n, x.q.data() + t * n, x.scales.data() + t, n};
    status = feed_forward(device_, weights, row, 1, choices.data() + t * used, used, alone.data(), false, scratch.data());
    ASSERT_TRUE(status) << status.to_string();
    const std::vector<float> want = alone.values();
    for (int o = 0; o < outputs; ++o) ASSERT_NEAR(got[static_cast<size_t>(t * outputs + o)], want[static_cast<size_t>(o)], std::abs(want[static_cast<size_t>(o)]) * 0.02 + 0.5) << t;
  }
}

}  // namespace
}  // namespace wenqu::test
