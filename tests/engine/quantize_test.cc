#include "engine/quant/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>

#include "engine/cpu/blocks.h"
#include "engine/cpu/kernels.h"

namespace wenqu::engine::quant {
namespace {

using gguf::Type;

constexpr Type kBlockTypes[] = {Type::q8_0, Type::q4_0, Type::q4_1, Type::q5_0, Type::q5_1, Type::iq4_nl,
                                Type::q2_k, Type::q3_k, Type::q4_k, Type::q5_k, Type::q6_k, Type::iq4_xs};

std::vector<std::byte> packed(Type type, const std::vector<float>& x) {
  std::vector<std::byte> bytes(gguf::type_row_bytes(type, x.size()));
  const Status status = quantize_row(type, x.data(), x.size(), bytes.data());
  EXPECT_TRUE(status) << gguf::type_traits(type).name << " " << status.to_string();
  return bytes;
}

std::vector<float> round_trip(Type type, const std::vector<float>& x) {
  std::vector<float> y(x.size());
  cpu::dequantize_row(type, packed(type, x).data(), x.size(), y.data());
  return y;
}

double rms(const std::vector<float>& x) {
  double sum = 0;
  for (float v : x) sum += static_cast<double>(v) * v;
  return std::sqrt(sum / static_cast<double>(x.size()));
}

double error(const std::vector<float>& x, const std::vector<float>& y) {
  std::vector<float> rest(x.size());
  for (size_t i = 0; i < x.size(); ++i) rest[i] = x[i] - y[i];
  return rms(rest) / rms(x);
}

std::vector<float> normal_row(size_t n, uint32_t seed, float deviation = 1, float mean = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean, deviation);
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

float half(float x) { return cpu::half_to_float(cpu::float_to_half(x)); }

// Round to nearest without any search. One scale a sub-block, from the extreme value onto `low` (or the largest
// magnitude onto `high`), the scales themselves rounded to `scale_levels` steps of a common half float (0: no
// sub-blocks, a half float each).
std::vector<float> naive_symmetric(const std::vector<float>& x, size_t sub, int low, int high, int scale_levels) {
  std::vector<float> y(x.size());
  const size_t block = scale_levels ? 256 : sub;
  for (size_t b = 0; b < x.size(); b += block) {
    std::vector<float> scales;
    for (size_t s = b; s < b + block; s += sub) {
      const float extreme = *std::max_element(&x[s], &x[s] + sub, [](float p, float q) { return std::fabs(p) < std::fabs(q); });
      scales.push_back(extreme / static_cast<float>(low));
    }
    float top = 0;
    for (float s : scales) top = std::max(top, std::fabs(s));
    const float d = scale_levels ? half(top / static_cast<float>(scale_levels)) : 0;
    for (size_t i = b; i < b + block; ++i) {
      const float raw = scales[(i - b) / sub], scale = scale_levels ? d * std::round(raw / d) : half(raw);
      y[i] = scale == 0 ? 0 : scale * std::clamp(std::round(x[i] / scale), static_cast<float>(low), static_cast<float>(high));
    }
  }
  return y;
}

std::vector<float> naive_line(const std::vector<float>& x, size_t sub, int high, int scale_levels) {
  std::vector<float> y(x.size());
  const size_t block = scale_levels ? 256 : sub;
  for (size_t b = 0; b < x.size(); b += block) {
    std::vector<float> scales, minima;
    for (size_t s = b; s < b + block; s += sub) {
      const auto [least, most] = std::minmax_element(&x[s], &x[s] + sub);
      const float low = scale_levels ? std::min(0.0f, *least) : *least;
      scales.push_back((*most - low) / static_cast<float>(high));
      minima.push_back(-low);
    }
    const float levels = static_cast<float>(scale_levels);
    const float d = scale_levels ? half(*std::max_element(scales.begin(), scales.end()) / levels) : 0;
    const float dmin = scale_levels ? half(*std::max_element(minima.begin(), minima.end()) / levels) : 0;
    for (size_t i = b; i < b + block; ++i) {
      const float scale = scale_levels ? d * std::round(scales[(i - b) / sub] / d) : half(scales[(i - b) / sub]);
      const float minimum = !scale_levels ? half(minima[(i - b) / sub]) : dmin == 0 ? 0 : dmin * std::round(minima[(i - b) / sub] / dmin);
      y[i] = scale == 0 ? -minimum : scale * std::clamp(std::round((x[i] + minimum) / scale), 0.0f, static_cast<float>(high)) - minimum;
    }
  }
  return y;
}

TEST(Quantize, TheErrorOnNormalDataIsWithinTheKnownFigures) {
  const std::vector<float> x = normal_row(1 << 16, 1, 0.02f);
  struct Known {
    Type type;
    double least, most;
  };
  const Known known[] = {{Type::q8_0, 0.004, 0.006}, {Type::q6_k, 0.012, 0.018}, {Type::q5_k, 0.03, 0.04},
                         {Type::q5_0, 0.03, 0.045},  {Type::q5_1, 0.03, 0.042},  {Type::q4_k, 0.06, 0.08},
                         {Type::q4_0, 0.07, 0.09},   {Type::q4_1, 0.06, 0.085},  {Type::iq4_nl, 0.06, 0.085},
                         {Type::iq4_xs, 0.06, 0.085}, {Type::q3_k, 0.12, 0.17},  {Type::q2_k, 0.24, 0.32},
                         {Type::f16, 1e-4, 4e-4},    {Type::bf16, 1e-3, 2e-3}};
  for (const Known& k : known) {
    const double got = error(x, round_trip(k.type, x));
    RecordProperty(std::string(gguf::type_traits(k.type).name), std::to_string(got));
    EXPECT_GT(got, k.least) << gguf::type_traits(k.type).name;
    EXPECT_LT(got, k.most) << gguf::type_traits(k.type).name;
  }
}

TEST(Quantize, TheErrorIsNotAboveThatOfRoundingToTheNearest) {
  const std::pair<Type, std::function<std::vector<float>(const std::vector<float>&)>> naive[] = {
      {Type::q8_0, [](auto& x) { return naive_symmetric(x, 32, -127, 127, 0); }},
      {Type::q4_0, [](auto& x) { return naive_symmetric(x, 32, -8, 7, 0); }},
      {Type::q5_0, [](auto& x) { return naive_symmetric(x, 32, -16, 15, 0); }},
      {Type::q4_1, [](auto& x) { return naive_line(x, 32, 15, 0); }},
      {Type::q5_1, [](auto& x) { return naive_line(x, 32, 31, 0); }},
      {Type::q6_k, [](auto& x) { return naive_symmetric(x, 16, -32, 31, 127); }},
      {Type::q3_k, [](auto& x) { return naive_symmetric(x, 16, -4, 3, 31); }},
      {Type::q4_k, [](auto& x) { return naive_line(x, 32, 15, 63); }},
      {Type::q5_k, [](auto& x) { return naive_line(x, 32, 31, 63); }},
      {Type::q2_k, [](auto& x) { return naive_line(x, 16, 3, 15); }}};
  std::vector<std::vector<float>> rows;
  for (uint32_t seed = 1; seed < 9; ++seed) rows.push_back(normal_row(4096, seed));
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> flat(4096), outliers = normal_row(4096, 77), shifted = normal_row(4096, 78, 1, 2);
  for (float& v : flat) v = uniform(random);
  for (size_t i = 0; i < outliers.size(); i += 97) outliers[i] *= 20;
  rows.insert(rows.end(), {flat, outliers, shifted});
  for (const auto& [type, pack] : naive)
    for (size_t r = 0; r < rows.size(); ++r)
      EXPECT_LE(error(rows[r], round_trip(type, rows[r])), 1.001 * error(rows[r], pack(rows[r])))
          << gguf::type_traits(type).name << " row " << r;
}

TEST(Quantize, WhatATypeCanHoldExactlyComesBackExactly) {
  for (Type type : kBlockTypes) {
    const gguf::TypeTraits& traits = gguf::type_traits(type);
    std::mt19937 random(5);
    for (int round = 0; round < 20; ++round) {
      // Random whole numbers with a few scales, and each sub-block's range used to its ends.
      std::vector<float> x(traits.block_values);
      const float d = half(0.001f * static_cast<float>(1 + random() % 900));
      const size_t sub = type == Type::q6_k || type == Type::q3_k || type == Type::q2_k ? 16 : 32;
      const bool line = type == Type::q4_k || type == Type::q5_k || type == Type::q2_k || type == Type::q4_1 || type == Type::q5_1;
      const int top = type == Type::q2_k ? 3 : type == Type::q5_k || type == Type::q5_1 ? 31 : 15;
      const int low = type == Type::q8_0 ? -127 : type == Type::q6_k ? -32 : type == Type::q5_0 ? -16 : type == Type::q3_k ? -4 : -8;
      const int scales = type == Type::q6_k ? 127 : type == Type::q3_k || type == Type::iq4_xs ? 31 : type == Type::q2_k ? 15 : 63;
      for (size_t s = 0; s < x.size() / sub; ++s) {
        const int scale = traits.block_values == 32 ? 1 : s == 0 ? scales : 1 + static_cast<int>(random() % scales);
        const int minimum = !line || traits.block_values == 32 ? 0 : s == 1 ? scales : static_cast<int>(random() % (scales + 1));
        for (size_t i = 0; i < sub; ++i) {
          float level;
          if (type == Type::iq4_nl || type == Type::iq4_xs) level = cpu::kNonLinear[i < 16 ? i : random() % 16];
          else if (line) level = static_cast<float>(i == 0 ? 0 : i == 1 ? top : static_cast<int>(random() % (top + 1)));
          else level = static_cast<float>(i == 0 ? low : low + static_cast<int>(random() % (2 * -low)));
          x[s * sub + i] = d * static_cast<float>(scale) * level - d * static_cast<float>(minimum);
        }
      }
      const std::vector<float> y = round_trip(type, x);
      for (size_t i = 0; i < x.size(); ++i) ASSERT_FLOAT_EQ(x[i], y[i]) << traits.name << " value " << i << " round " << round;
    }
  }
}

TEST(Quantize, ZerosStayZerosAndConstantsNearlyThemselves) {
  for (Type type : kBlockTypes) {
    const std::string_view name = gguf::type_traits(type).name;
    for (float v : round_trip(type, std::vector<float>(512, 0.0f))) EXPECT_EQ(v, 0.0f) << name;
    for (float constant : {1.0f, -1.0f, 0.3f, -7000.0f})
      for (float v : round_trip(type, std::vector<float>(512, constant))) EXPECT_NEAR(v / constant, 1, 1e-3) << name << " " << constant;
  }
}

TEST(Quantize, OneOutlierIsKeptAndDoesNotDrownOtherBlocks) {
  for (Type type : kBlockTypes) {
    std::vector<float> x = normal_row(1024, 9, 0.01f);
    x[300] = 8;
    const std::vector<float> y = round_trip(type, x);
    const std::string_view name = gguf::type_traits(type).name;
    EXPECT_NEAR(y[300], 8, 0.5) << name;
    const std::vector<float> other(x.begin() + 512, x.end()), got(y.begin() + 512, y.end());
    EXPECT_LT(error(other, got), 0.35) << name;
  }
}

TEST(Quantize, TinyValuesDegradeAndNeverGrow) {
  for (Type type : kBlockTypes) {
    for (float deviation : {1e-3f, 1e-5f, 1e-7f, 1e-9f, 1e-20f, 1e-38f, 1e-44f}) {
      const std::vector<float> x = normal_row(1024, 10, deviation), y = round_trip(type, x);
      for (size_t i = 0; i < x.size(); ++i) {
        ASSERT_TRUE(std::isfinite(y[i]));
        // The smallest half float times the largest whole numbers is the coarsest step there is.
        ASSERT_NEAR(x[i], y[i], std::max(3 * deviation, 0x1p-24f * 130)) << gguf::type_traits(type).name << " " << deviation;
      }
      if (deviation >= 1e-3f) {
        EXPECT_LT(error(x, y), 0.35) << gguf::type_traits(type).name;
      }
    }
  }
}

TEST(Quantize, HugeValuesAreKeptOrAnErrorAndNeverInfinite) {
  for (Type type : kBlockTypes) {
    for (float size : {1e4f, 6e4f, 1e6f, 1e8f, 1e12f, 1e38f}) {
      std::vector<float> x = normal_row(512, 11, size);
      for (float& v : x) v = std::clamp(v, -3e38f, 3e38f);
      std::vector<std::byte> bytes(gguf::type_row_bytes(type, x.size()));
      const Status status = quantize_row(type, x.data(), x.size(), bytes.data());
      if (!status) {
        EXPECT_EQ(status.code(), StatusCode::invalid_argument);
        EXPECT_NE(status.where().find("value "), std::string::npos);
        EXPECT_GT(size, 2e4f) << gguf::type_traits(type).name;
        continue;
      }
      std::vector<float> y(x.size());
      cpu::dequantize_row(type, bytes.data(), x.size(), y.data());
      EXPECT_LT(error(x, y), 0.35) << gguf::type_traits(type).name << " " << size;
      EXPECT_LT(size, 1e12f);
    }
  }
}

TEST(Quantize, ValuesThatAreNotFiniteAreNamed) {
  std::vector<Type> types(std::begin(kBlockTypes), std::end(kBlockTypes));
  types.insert(types.end(), {Type::f32, Type::f16, Type::bf16});
  for (Type type : types)
    for (float bad : {NAN, INFINITY, -INFINITY}) {
      std::vector<float> x(512, 1.0f);
      x[259] = bad;
      std::vector<std::byte> bytes(gguf::type_row_bytes(type, x.size()));
      const Status status = quantize_row(type, x.data(), x.size(), bytes.data());
      EXPECT_EQ(status.code(), StatusCode::invalid_argument) << gguf::type_traits(type).name;
      EXPECT_EQ(status.where(), "value 259");
    }
}

TEST(Quantize, HalfFloatsRoundToTheNearestAndRefuseWhatTheyCannotHold) {
  const std::vector<float> x = {1.0f, 65504.0f, -65504.0f, 1 + 0x1p-11f, 1 + 3 * 0x1p-11f, 0x1p-24f};
  EXPECT_EQ(round_trip(Type::f16, x), (std::vector<float>{1.0f, 65504.0f, -65504.0f, 1.0f, 1 + 4 * 0x1p-11f, 0x1p-24f}));
  EXPECT_EQ(round_trip(Type::bf16, {1 + 0x1p-8f, 1 + 3 * 0x1p-8f, 1e38f}), (std::vector<float>{1, 1 + 4 * 0x1p-8f, cpu::bfloat_to_float(0x7E96)}));
  std::byte out[4];
  const float large = 65520, largest = 3.4028234e38f;
  EXPECT_EQ(quantize_row(Type::f16, &large, 1, out).code(), StatusCode::invalid_argument);
  EXPECT_EQ(quantize_row(Type::bf16, &largest, 1, out).code(), StatusCode::invalid_argument);
}

TEST(Quantize, TheSameValuesGiveTheSameBytesWhereverTheyStand) {
  const std::vector<float> x = normal_row(1024, 12);
  for (Type type : kBlockTypes) {
    const std::vector<std::byte> whole = packed(type, x);
    EXPECT_EQ(packed(type, x), whole);
    const std::vector<std::byte> tail = packed(type, std::vector<float>(x.begin() + 512, x.end()));
    EXPECT_TRUE(std::equal(tail.begin(), tail.end(), whole.begin() + static_cast<std::ptrdiff_t>(whole.size() / 2)));
  }
}

}  // namespace
}  // namespace wenqu::engine::quant
