#include "engine/cpu/kernels.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <span>

#include "engine/cpu/blocks.h"
#include "engine/cpu/interleaved.h"

namespace wenqu::engine::cpu {
namespace {

using gguf::Type;

// Rows of random blocks with sane scales.
std::vector<std::byte> random_weights(Type type, size_t rows, size_t n, std::mt19937& random) {
  const gguf::TypeTraits& traits = gguf::type_traits(type);
  std::vector<std::byte> bytes(rows * gguf::type_row_bytes(type, n));
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  std::normal_distribution<float> normal;
  const auto put_half = [&](size_t at, float value) {
    const _Float16 half = static_cast<_Float16>(value);
    std::memcpy(bytes.data() + at, &half, 2);
  };
  for (size_t at = 0; at < bytes.size(); at += traits.block_bytes) {
    const float scale = 0.001f * static_cast<float>(1 + random() % 20);
    switch (type) {
      case Type::f32: {
        const float value = normal(random);
        std::memcpy(bytes.data() + at, &value, 4);
        break;
      }
      case Type::f16: put_half(at, normal(random)); break;
      case Type::bf16: {
        const float value = normal(random);
        std::memcpy(bytes.data() + at, reinterpret_cast<const char*>(&value) + 2, 2);
        break;
      }
      case Type::q8_0:
      case Type::q4_0:
      case Type::q5_0:
      case Type::iq4_nl:
      case Type::iq4_xs: put_half(at, scale); break;
      case Type::q4_1:
      case Type::q5_1: put_half(at, scale), put_half(at + 2, scale * -9); break;
      case Type::q2_k: put_half(at + 80, scale), put_half(at + 82, scale * 2); break;
      case Type::q3_k: put_half(at + 108, scale); break;
      case Type::q5_k:
      case Type::q4_k: put_half(at, scale), put_half(at + 2, scale * 7); break;
      case Type::q6_k: put_half(at + 208, scale); break;
    }
  }
  return bytes;
}

struct Batch {
  std::vector<float> values, scale32, scale256;
  std::vector<int8_t> q32, q256;
  std::vector<int16_t> sum32, sum256;
  std::vector<InputRow> rows;

  Batch(const Kernels& kernels, size_t tokens, size_t n, std::mt19937& random)
      : values(tokens * n), scale32(tokens * (n / 32 + 1)), scale256(tokens * (n / 256 + 1)), q32(tokens * n), q256(tokens * n),
        sum32(tokens * (n / 32 + 1)), sum256(tokens * (n / 16 + 1)), rows(tokens) {
    std::normal_distribution<float> normal;
    for (float& v : values) v = normal(random);
    for (size_t t = 0; t < tokens; ++t) {
      rows[t] = {values.data() + t * n, q32.data() + t * n, scale32.data() + t * (n / 32 + 1), sum32.data() + t * (n / 32 + 1),
                 q256.data() + t * n, scale256.data() + t * (n / 256 + 1), sum256.data() + t * (n / 16 + 1)};
      if (n % 32 == 0) 
        kernels.round32(rows[t].values, n, q32.data() + t * n, scale32.data() + t * (n / 32 + 1), sum32.data() + t * (n / 32 + 1));
      if (n % 256 == 0)
        kernels.round256(rows[t].values, n, q256.data() + t * n, scale256.data() + t * (n / 256 + 1),
                         sum256.data() + t * (n / 16 + 1));
    }
  }
};

std::vector<float> run(DotRowsFunction function, Type type, std::span<const std::byte> weights, size_t rows, size_t n,
                       const Batch& batch, size_t first_token, size_t tokens, bool interleaved = false) {
  std::vector<float> out(tokens * (rows + 1), 99);
  std::vector<float*> outputs;
  for (size_t t = 0; t < tokens; ++t) outputs.push_back(out.data() + t * (rows + 1));
  function({.weights = weights.data(), .interleaved = interleaved, .first = 1, .row_bytes = gguf::type_row_bytes(type, n), .rows = rows, .n = n,
            .inputs = batch.rows.data() + first_token, .outputs = outputs.data(), .tokens = tokens});
  return out;
}

// The rows side by side in eights.
std::vector<std::byte> interleaved(Type type, std::span<const std::byte> rows, size_t n) {
  const size_t row_bytes = gguf::type_row_bytes(type, n);
  std::vector<std::byte> out(rows.size());
  interleave_rows(type, rows.data(), rows.size() / row_bytes, row_bytes, out.data());
  return out;
}

// Numbers behind whose last one nothing may be read or written: the next page is out of bounds.
template <typename T>
class AtTheEnd {
 public:
  explicit AtTheEnd(std::span<const T> values) {
    const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE)), room = (values.size_bytes() + page - 1) / page * page;
    mapped_ = room + page;
    map_ = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map_ == MAP_FAILED) throw std::bad_alloc();
    std::byte* const end = static_cast<std::byte*>(map_) + room;
    ::mprotect(end, page, PROT_NONE);
    data_ = reinterpret_cast<T*>(end - values.size_bytes());
    std::copy(values.begin(), values.end(), data_);
  }
  ~AtTheEnd() { ::munmap(map_, mapped_); }
  AtTheEnd(const AtTheEnd&) = delete;
  AtTheEnd& operator=(const AtTheEnd&) = delete;
  T* data() const { return data_; }

 private:
  void* map_;
  size_t mapped_;
  T* data_;
};

class DotRowsTest : public testing::TestWithParam<Type> {
 protected:
  size_t block() const { return gguf::type_traits(GetParam()).block_values; }

  // All vector kernels, for 1 to `most` tokens: the same to the last bit where inputs are rounded.
  static void hold_against_scalar(size_t rows, size_t n, size_t most, std::mt19937& random) {
    const Type type = GetParam();
    const auto weights = random_weights(type, rows, n, random);
    const Batch batch(scalar_kernels(), most, n, random);
    const bool exact = input_form(type) != kPlain;
    for (size_t tokens = 1; tokens <= most; ++tokens) {
      const auto want = run(scalar_kernels().dot_rows(type), type, weights, rows, n, batch, 0, tokens);
      for (const Isa isa : kIsas) {
        if (!is_supported(isa)) continue;
        const auto got = run(kernels(isa).dot_rows(type), type, weights, rows, n, batch, 0, tokens);
        for (size_t i = 0; i < want.size(); ++i)
          ASSERT_NEAR(got[i], want[i], exact ? 0 : 1e-5 * (1 + std::fabs(want[i]))) << name(isa) << " " << n << " " << tokens << " " << i;
      }
    }
  }
};

TEST_P(DotRowsTest, TheScalarKernelMultipliesWhatTheBlocksMean) {
  std::mt19937 random(1);
  const Type type = GetParam();
  const size_t n = std::max<size_t>(block() * 3, 37 * (block() == 1)), rows = 5;
  const auto weights = random_weights(type, rows, n, random);
  const Batch batch(scalar_kernels(), 1, n, random);
  const std::vector<float> got = run(scalar_kernels().dot_rows(type), type, weights, rows, n, batch, 0, 1);
  std::vector<float> row(n);
  for (size_t r = 0; r < rows; ++r) {
    dequantize_row(type, weights.data() + r * gguf::type_row_bytes(type, n), n, row.data());
    double exact = 0, size = 0;
    for (size_t i = 0; i < n; ++i) exact += static_cast<double>(row[i]) * batch.values[i], size += row[i] * row[i];
    // Rounding an input to 8 bits costs a few thousandths of the vectors' lengths.
    const double tolerance = input_form(type) == kPlain ? 1e-4 : 0.02;
    EXPECT_NEAR(got[1 + r], exact, tolerance * std::sqrt(size * static_cast<double>(n)) + 1e-4);
  }
}

TEST_P(DotRowsTest, VectorKernelsAgreeWithTheScalarOneForEveryBatch) {
  std::mt19937 random(2);
  for (size_t n : {block(), block() * 2, block() * 7, block() == 1 ? size_t{227} : block() * 4}) hold_against_scalar(37, n, 41, random);
}

TEST_P(DotRowsTest, RowsOfAnyWidthAreMultipliedToTheirEnd) {
  if (input_form(GetParam()) == kPlain) return;   // nothing of them is kept
  std::mt19937 random(7);
  // A little more than what the kernels keep of a row for four tokens, two and one.
  for (size_t n : {7936, 15616, 30976}) hold_against_scalar(9, n, 4, random);
}

TEST_P(DotRowsTest, NothingIsReadOrWrittenBehindTheEnd) {
  std::mt19937 random(6);
  const Type type = GetParam();
  const auto all_but = [](const auto& values, size_t last) { return std::span(values.data(), values.size() - last); };
  for (size_t n : {block(), block() * 5, block() == 1 ? size_t{67} : block() * 8}) {
    const size_t rows = 35;
    const auto weights = random_weights(type, rows, n, random);
    const AtTheEnd<std::byte> w(weights);
    for (size_t tokens : {1, 2, 3, 4, 5, 6, 31}) {
      Batch batch(scalar_kernels(), tokens, n, random);
      const auto want = run(scalar_kernels().dot_rows(type), type, weights, rows, n, batch, 0, tokens);
      const AtTheEnd<float> values(batch.values), scale32(all_but(batch.scale32, 1)), scale256(all_but(batch.scale256, 1));
      const AtTheEnd<int8_t> q32(batch.q32), q256(batch.q256);
      const AtTheEnd<int16_t> sum32(all_but(batch.sum32, 1)), sum256(all_but(batch.sum256, 1));
      const AtTheEnd<float> out(std::vector<float>(tokens * rows, 99.0f));
      std::vector<InputRow> inputs;
      std::vector<float*> outputs;
      for (size_t t = 0; t < tokens; ++t) {
        inputs.push_back({values.data() + t * n, q32.data() + t * n, scale32.data() + t * (n / 32 + 1), sum32.data() + t * (n / 32 + 1),
                          q256.data() + t * n, scale256.data() + t * (n / 256 + 1), sum256.data() + t * (n / 16 + 1)});
        outputs.push_back(out.data() + t * rows);
      }
      for (const Isa isa : kIsas) {
        if (!is_supported(isa)) continue;
        kernels(isa).dot_rows(type)({.weights = w.data(), .row_bytes = gguf::type_row_bytes(type, n), .rows = rows, .n = n,
                                     .inputs = inputs.data(), .outputs = outputs.data(), .tokens = tokens});
        for (size_t t = 0; t < tokens; ++t)
          for (size_t r = 0; r < rows; ++r)
            ASSERT_NEAR(outputs[t][r], want[t * (rows + 1) + 1 + r], 1e-4 * (1 + std::fabs(outputs[t][r]))) << name(isa) << " " << n << " " << tokens;
      }
    }
  }
}

TEST_P(DotRowsTest, TheLargestWeightsAndInputsOverflowNothing) {
  const Type type = GetParam();
  if (input_form(type) == kPlain) return;   // floats have room
  std::mt19937 random(4);
  const size_t n = 256, rows = 24, most = 33;
  Batch batch(scalar_kernels(), most, n, random);
  for (const int8_t x : {int8_t{127}, int8_t{-127}}) {
    std::fill(batch.q32.begin(), batch.q32.end(), x);
    std::fill(batch.q256.begin(), batch.q256.end(), x);
    std::fill(batch.sum32.begin(), batch.sum32.end(), static_cast<int16_t>(32 * x));
    std::fill(batch.sum256.begin(), batch.sum256.end(), static_cast<int16_t>(16 * x));
    for (const unsigned fill : {0x00u, 0x0Fu, 0x7Fu, 0x80u, 0xF0u, 0xFFu}) {
      std::vector<std::byte> weights = random_weights(type, rows, n, random);   // for its scales, which are numbers
      const size_t block_bytes = gguf::type_traits(type).block_bytes;
      const bool scales_last = type == Type::q2_k || type == Type::q3_k || type == Type::q6_k;
      for (size_t at = 0; at < weights.size(); ++at) {
        const size_t in_block = at % block_bytes;
        if (scales_last ? in_block < block_bytes - 4 : in_block >= 4) weights[at] = static_cast<std::byte>(fill);
      }
      for (const size_t tokens : {size_t{1}, size_t{4}, size_t{8}, most}) {
        const auto want = run(scalar_kernels().dot_rows(type), type, weights, rows, n, batch, 0, tokens);
        for (const Isa isa : kIsas)
          if (is_supported(isa)) {
            EXPECT_EQ(run(kernels(isa).dot_rows(type), type, weights, rows, n, batch, 0, tokens), want) << name(isa) << " " << fill << " " << tokens;
            if (!can_interleave(type, rows)) continue;
            EXPECT_EQ(run(kernels(isa).dot_rows(type), type, interleaved(type, weights, n), rows, n, batch, 0, tokens, true), want)
                << name(isa) << " " << fill << " " << tokens << ", side by side";
          }
      }
    }
  }
}

TEST_P(DotRowsTest, RowsThatLieSideBySideGiveTheSameToTheLastBit) {
  const Type type = GetParam();
  constexpr size_t kRows = 40;   // tiles of sixteen, and one of eight
  if (!can_interleave(type, kRows)) return;
  std::mt19937 random(8);
  for (size_t n : {block(), block() * 2, block() * 7, block() * 11}) {
    const auto weights = random_weights(type, kRows, n, random);
    const AtTheEnd<std::byte> side_by_side(interleaved(type, weights, n));
    const Batch batch(scalar_kernels(), 41, n, random);
    for (size_t tokens = 1; tokens <= 41; ++tokens) {
      const auto want = run(scalar_kernels().dot_rows(type), type, weights, kRows, n, batch, 0, tokens);
      for (const Isa isa : kIsas) {
        if (!is_supported(isa)) continue;
        const auto got = run(kernels(isa).dot_rows(type), type, {side_by_side.data(), weights.size()}, kRows, n, batch, 0, tokens, true);
        ASSERT_EQ(got, want) << name(isa) << " " << n << " " << tokens;
      }
    }
  }
}

TEST_P(DotRowsTest, ATokensResultDoesNotDependOnItsBatch) {
  std::mt19937 random(3);
  const Type type = GetParam();
  constexpr size_t kRows = 43;
  for (const size_t n : block() == 1 ? std::vector<size_t>{20, 100, 128, 250, 600} : std::vector<size_t>{block() * 3}) {
    const auto weights = random_weights(type, kRows, n, random);
    const Batch batch(scalar_kernels(), 45, n, random);
    for (const Isa isa : kIsas) {
      if (!is_supported(isa)) continue;
      const DotRowsFunction dot = kernels(isa).dot_rows(type);
      for (const size_t tokens : {7, 13, 16, 29, 45}) {
        const auto all = run(dot, type, weights, kRows, n, batch, 0, tokens);
        for (size_t t = 0; t < tokens; ++t) {
          const auto alone = run(dot, type, weights, kRows, n, batch, t, 1);
          for (size_t r = 1; r <= kRows; ++r) ASSERT_EQ(alone[r], all[t * (kRows + 1) + r]) << name(isa) << " " << n << " " << tokens << " " << t << " " << r;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, DotRowsTest, testing::Values(Type::f32, Type::f16, Type::bf16, Type::q8_0, Type::q4_0, Type::q4_1, Type::q5_0, Type::q5_1,
                                         Type::iq4_nl, Type::q2_k, Type::q3_k, Type::q4_k, Type::q5_k, Type::q6_k, Type::iq4_xs),
                        
                         [](const auto& type) { return std::string(gguf::type_traits(type.param).name); });

class KernelsTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!is_supported(GetParam())) GTEST_SKIP() << "this processor has no " << name(GetParam());
  }
  const Kernels& k() const { return kernels(GetParam()); }
};

TEST_P(KernelsTest, RoundingKeepsValuesWithinHalfAStep) {
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  for (float size : {1e-30f, 1e-3f, 1.0f, 1e5f, 1e30f}) {
    std::vector<float> x(512);
    for (float& v : x) v = size * normal(random);
    std::vector<int8_t> q(512);
    std::vector<float> scale(16), scale256(2);
    std::vector<int16_t> sums(32);
    k().round32(x.data(), 512, q.data(), scale.data(), sums.data());
    for (size_t i = 0; i < 512; ++i) EXPECT_NEAR(q[i] * scale[i / 32], x[i], std::fabs(scale[i / 32]) * 0.57f) << size;
    for (size_t b = 0; b < 16; ++b) EXPECT_EQ(sums[b], std::accumulate(q.begin() + b * 32, q.begin() + b * 32 + 32, 0));
    k().round256(x.data(), 512, q.data(), scale256.data(), sums.data());
    for (size_t i = 0; i < 512; ++i) EXPECT_NEAR(q[i] * scale256[i / 256], x[i], std::fabs(scale256[i / 256]) * 0.51f) << size;
    for (size_t sub = 0; sub < 32; ++sub)
      EXPECT_EQ(sums[sub / 16 * 16 + sub % 16 / 2 + sub % 2 * 8], std::accumulate(q.begin() + sub * 16, q.begin() + sub * 16 + 16, 0));
  }
}

TEST_P(KernelsTest, RoundingIsDefinedForZerosAndForWhatIsNotFinite) {
  for (float odd : {0.0f, NAN, INFINITY, -INFINITY}) {
    std::vector<float> x(256, odd == 0 ? 0.0f : 1.0f);
    x[77] = odd;
    std::vector<int8_t> q(256, 5);
    std::vector<float> scale(8), scale256(1);
    std::vector<int16_t> sums(16, 5);
    k().round32(x.data(), 256, q.data(), scale.data(), sums.data());
    EXPECT_EQ(std::isnan(scale[2]), odd != 0);
    EXPECT_EQ(q[77], 0);
    k().round256(x.data(), 256, q.data(), scale256.data(), sums.data());
    EXPECT_EQ(std::isnan(scale256[0]), odd != 0);
    if (odd == 0) {
      EXPECT_EQ(scale256[0], 0);
    }
    EXPECT_EQ(q[77], 0);
    EXPECT_EQ(sums[2], 0);
  }
}

TEST_P(KernelsTest, VectorFunctionsMeetTheirDefinitionsAtEverySize) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 5);
  for (size_t n = 0; n < 70; ++n) {
    std::vector<float> a(n), b(n), out(n);
    for (float& v : a) v = normal(random);
    for (float& v : b) v = normal(random);
    k().silu_multiply(a.data(), b.data(), out.data(), n);
    for (size_t i = 0; i < n; ++i) EXPECT_NEAR(out[i], a[i] / (1 + std::exp(-a[i])) * b[i], 1e-4 * (1 + std::fabs(out[i])));
    if (n == 0) continue;
    const float top = *std::max_element(a.begin(), a.end());
    std::vector<float> e = a;
    const float sum = k().exp_sum(e.data(), n, top);
    double want = 0;
    for (size_t i = 0; i < n; ++i) {
      EXPECT_NEAR(e[i], std::exp(a[i] - top), 1e-6f * std::exp(a[i] - top) + 1e-30f);
      want += e[i];
    }
    EXPECT_NEAR(sum, want, 1e-4);
    std::vector<float> scaled = a;
    scaled[n / 2] = NAN;
    float largest = -INFINITY;
    for (size_t i = 0; i < n; ++i)
      if (i != n / 2) largest = std::max(largest, a[i] * -0.3f);
    EXPECT_EQ(k().scale_maximum(scaled.data(), n, -0.3f), largest);
    for (size_t i = 0; i < n; ++i) {
      if (i != n / 2) EXPECT_EQ(scaled[i], a[i] * -0.3f);
    }
  }
  EXPECT_EQ(k().scale_maximum(nullptr, 0, 1), -INFINITY);
}

TEST_P(KernelsTest, SumsOfRowsAreThoseOfTheirDefinitionAtEverySizeAndNumber) {
  std::mt19937 random(6);
  std::normal_distribution<float> normal;
  for (const bool half : {false, true})
    for (size_t n : {0, 1, 7, 8, 15, 16, 17, 40, 67}) {
      constexpr size_t kRows = 9, kSums = 14;
      const size_t stride = (n + 3) * (half ? 2 : 4);
      std::vector<std::byte> rows(kRows * stride);
      std::vector<float> values(kRows * n), weights(kSums * kRows);
      for (float& w : weights) w = normal(random);
      for (size_t r = 0; r < kRows; ++r)
        for (size_t i = 0; i < n; ++i) {
          const float value = normal(random);
          const uint16_t bits = float_to_half(value);
          values[r * n + i] = half ? half_to_float(bits) : value;
          std::memcpy(rows.data() + r * stride + i * (half ? 2 : 4), half ? static_cast<const void*>(&bits) : &value, half ? 2 : 4);
        }
      // Each takes another number of rows.
      std::vector<std::vector<float>> outs(kSums, std::vector<float>(n + 1, 0.5f));
      std::vector<WeightedSum> sums;
      for (size_t s = 0; s < kSums; ++s) sums.push_back({weights.data() + s * kRows, s * 7 % (kRows + 1), outs[s].data()});
      const SumRows args{.rows = rows.data(), .row_bytes = stride, .n = n, .sums = sums.data(), .count = kSums};
      (half ? k().sum_rows_f16 : k().sum_rows_f32)(args);
      for (size_t s = 0; s < kSums; ++s) {
        for (size_t i = 0; i < n; ++i) {
          double want = 0.5;
          for (size_t r = 0; r < sums[s].rows; ++r) want += static_cast<double>(weights[s * kRows + r]) * values[r * n + i];
          EXPECT_NEAR(outs[s][i], want, 1e-5) << n << " " << s << " " << i;
        }
        EXPECT_EQ(outs[s][n], 0.5f);
        // Alone it gives the same, to the last bit.
        std::vector<float> alone(n + 1, 0.5f);
        WeightedSum one = sums[s];
        one.out = alone.data();
        (half ? k().sum_rows_f16 : k().sum_rows_f32)({.rows = rows.data(), .row_bytes = stride, .n = n, .sums = &one, .count = 1});
        EXPECT_EQ(alone, outs[s]);
      }
    }
}

TEST_P(KernelsTest, ExponentialsOfFarAndMissingValues) {
  std::vector<float> x = {-INFINITY, -1000, -100, 0, NAN, -87, -88, -1};
  k().exp_sum(x.data(), x.size(), 0);
  EXPECT_EQ(x[0], 0);
  EXPECT_EQ(x[1], 0);
  EXPECT_LT(x[2], 1e-37f);
  EXPECT_EQ(x[3], 1);
  EXPECT_TRUE(std::isnan(x[4]));
}

INSTANTIATE_TEST_SUITE_P(Isas, KernelsTest, testing::ValuesIn(kIsas),
                         [](const auto& isa) { return name(isa.param); });

TEST(Interleaved, RowsSideBySideAreTheSameBytesInPlacesThatComeBack) {
  std::mt19937 random(9);
  for (const Type type : {Type::q8_0, Type::q4_0, Type::q4_1, Type::q5_0, Type::q5_1, Type::iq4_nl, Type::q4_k, Type::q5_k, Type::q6_k, Type::iq4_xs}) {
    const size_t n = gguf::type_traits(type).block_values * 3, row_bytes = gguf::type_row_bytes(type, n), block_bytes = gguf::type_traits(type).block_bytes;
    ASSERT_EQ(cut_of(type).bytes(), block_bytes);
    EXPECT_TRUE(can_interleave(type, 16));
    EXPECT_FALSE(can_interleave(type, 20));
    const auto rows = random_weights(type, 16, n, random);
    const auto side_by_side = interleaved(type, rows, n);
    EXPECT_NE(side_by_side, rows);
    std::vector<std::byte> back(rows.size());
    for (size_t r = 0; r < 16; r += kInterleavedRows)
      for (size_t at = 0; at < row_bytes; at += block_bytes)
        separate_blocks(cut_of(type), side_by_side.data() + r * row_bytes + at * kInterleavedRows, back.data() + r * row_bytes + at, row_bytes);
    EXPECT_EQ(back, rows);
  }
  EXPECT_FALSE(can_interleave(Type::f16, 16));
}

TEST(Blocks, HalfFloatsAreReadExactly) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    _Float16 value;
    std::memcpy(&value, &half, 2);
    const float want = static_cast<float>(value), got = half_to_float(half);
    ASSERT_TRUE(got == want || (std::isnan(want) && std::isnan(got))) << bits;
  }
}

TEST(Blocks, FloatsAreRoundedToTheNearestHalfFloat) {
  std::mt19937 random(8);
  const auto check = [](float value) {
    const _Float16 half = static_cast<_Float16>(value);
    uint16_t want;
    std::memcpy(&want, &half, 2);
    ASSERT_EQ(float_to_half(value), want) << value;
  };
  for (uint32_t bits = 0; bits < 0x7C00; ++bits) {
    const float value = half_to_float(static_cast<uint16_t>(bits)), next = half_to_float(static_cast<uint16_t>(bits + 1));
    const float middle = bits < 0x7BFF ? (value + next) / 2 : 65520;
    for (float v : {value, middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e9f)}) check(v), check(-v);
  }
  for (int i = 0; i < 100000; ++i) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (!std::isnan(value)) check(value);
  }
  EXPECT_TRUE(std::isnan(half_to_float(float_to_half(NAN))));
}

}  // namespace
}  // namespace wenqu::engine::cpu
