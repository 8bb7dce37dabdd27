// Types with blocks of 256: sub-blocks with small whole scales (and minima) of a scale in half precision.
#include <cstring>

#include "engine/quant/fit.h"
#include "engine/quant/pack.h"

namespace wenqu::engine::quant {
namespace {

// d * scale * level, with scales from `low` to `high`.
template <typename Levels, int size, int low, int high>
struct Scaled {
  static constexpr int kCount = 256 / size;
  uint16_t half = 0;
  int scales[kCount] = {};
  float factor[kCount] = {};   // normalised d * scale

  // False where d is beyond the range.
  bool fit(const Normalised<256>& block) {
    float fitted[kCount], extreme = 0;
    for (int s = 0; s < kCount; ++s) {
      fitted[s] = fit_scale<Levels, size>(block.x + s * size, block.w + s * size);
      if (std::fabs(fitted[s]) > std::fabs(extreme)) extreme = fitted[s];
    }
    half = block.half(extreme / static_cast<float>(high));
    if (is_infinite(half)) return false;
    float error = choose(block, fitted);
    // The levels are known now, and d can be fitted to all of them at once.
    Scaled other = *this;
    other.half = block.half(refit(block));
    if (is_infinite(other.half) || other.half == half) return true;
    if (other.choose(block, fitted) < error) *this = other;
    return true;
  }

 private:
  // The whole scales around the fitted ones that leave the smallest error, which is given.
  float choose(const Normalised<256>& block, const float* fitted) {
    const float d = block.normal(half);
    float total = 0;
    for (int s = 0; s < kCount; ++s) {
      const int near = d == 0 ? 0 : static_cast<int>(std::lround(std::clamp(fitted[s] / d, -1e3f, 1e3f)));
      const int middle = std::clamp(near, low, high);
      float least = INFINITY;
      for (const int scale : {middle, std::max(middle - 1, low), std::min(middle + 1, high)}) {
        const float error = scale_error<Levels, size>(block.x + s * size, block.w + s * size, d * static_cast<float>(scale));
        if (error < least) least = error, scales[s] = scale;
      }
      factor[s] = d * static_cast<float>(scales[s]);
      total += least;
    }
    return total;
  }

  float refit(const Normalised<256>& block) const {
    double product = 0, square = 0;
    for (int i = 0; i < 256; ++i) {
      const int s = i / size;
      if (factor[s] == 0) continue;
      const double level = static_cast<double>(Levels::nearest(block.x[i] / factor[s])) * scales[s], weight = block.w[i];
      product += weight * level * static_cast<double>(block.x[i]);
      square += weight * level * level;
    }
    return square > 0 ? static_cast<float>(product / square) : 0;
  }
};

// d * scale * q - dmin * minimum, with scales and minima from 0 to `high`, q from 0 to `top`.
template <int size, int high, int top>
struct Lined {
  static constexpr int kCount = 256 / size;
  uint16_t half = 0, half_minimum = 0;
  int scales[kCount] = {}, minima[kCount] = {};
  Line lines[kCount];   // as they come out

  bool fit(const Normalised<256>& block) {
    Line fitted[kCount];
    float scale = 0, minimum = 0;
    for (int s = 0; s < kCount; ++s) {
      fitted[s] = fit_line<size>(block.x + s * size, block.w + s * size, top);
      scale = std::max(scale, fitted[s].scale);
      minimum = std::max(minimum, fitted[s].minimum);
    }
    half = block.half(scale / high), half_minimum = block.half(minimum / high);
    if (is_infinite(half) || is_infinite(half_minimum)) return false;
    float error = choose(block, fitted);
    Lined other = *this;
    if (!other.refit(block)) return true;
    if (other.choose(block, fitted) < error) *this = other;
    return true;
  }

  uint8_t level(const Normalised<256>& block, int i) const {
    const Line& line = lines[i / size];
    return line.scale == 0 ? 0 : static_cast<uint8_t>(static_cast<int>(Integers<0, top>::nearest((block.x[i] + line.minimum) / line.scale)));
  }

 private:
  float choose(const Normalised<256>& block, const Line* fitted) {
    const float d = block.normal(half), dmin = block.normal(half_minimum);
    float total = 0;
    for (int s = 0; s < kCount; ++s) {
      const float *x = block.x + s * size, *w = block.w + s * size;
      const int near = whole(fitted[s].scale, d), near_minimum = whole(fitted[s].minimum, dmin);
      float least = INFINITY;
      for (const int scale : {near, std::max(near - 1, 0), std::min(near + 1, high)})
        for (const int minimum : {near_minimum, std::max(near_minimum - 1, 0), std::min(near_minimum + 1, high)}) {
          const Line line{d * static_cast<float>(scale), dmin * static_cast<float>(minimum)};
          const float error = line_error<size>(x, w, line, top);
          if (error >= least) continue;
          least = error, scales[s] = scale, minima[s] = minimum, lines[s] = line;
        }
      total += least;
    }
    return total;
  }

  static int whole(float value, float unit) {
    return unit == 0 ? 0 : static_cast<int>(std::lround(std::clamp(value / unit, 0.0f, static_cast<float>(high))));
  }

  // Fits d and dmin to all levels at once. False where that is no use.
  bool refit(const Normalised<256>& block) {
    double aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;
    for (int i = 0; i < 256; ++i) {
      const int s = i / size;
      const double a = static_cast<double>(level(block, i)) * scales[s], b = -minima[s], w = block.w[i], x = block.x[i];
      aa += w * a * a, ab += w * a * b, bb += w * b * b, ax += w * a * x, bx += w * b * x;
    }
    const double determinant = aa * bb - ab * ab;
    double d, dmin = 0;
    if (bb > 0 && determinant > 1e-9 * aa * bb) {
      d = (ax * bb - bx * ab) / determinant;
      dmin = (bx * aa - ax * ab) / determinant;
    } else {
      if (aa <= 0 || bb > 0) return false;
      d = ax / aa;
    }
    if (!(d > 0) || !(dmin >= 0)) return false;
    half = block.half(static_cast<float>(d)), half_minimum = block.half(static_cast<float>(dmin));
    return !is_infinite(half) && !is_infinite(half_minimum);
  }
};

// The inverse of cpu::unpack_q4k_scales.
void pack_q4k_scales(const int scales[8], const int minima[8], uint8_t packed[12]) {
  for (int i = 0; i < 4; ++i) {
    packed[i] = static_cast<uint8_t>(scales[i] | scales[i + 4] >> 4 << 6);
    packed[i + 4] = static_cast<uint8_t>(minima[i] | minima[i + 4] >> 4 << 6);
    packed[i + 8] = static_cast<uint8_t>((scales[i + 4] & 15) | (minima[i + 4] & 15) << 4);
  }
}

// Four bits a value as Q4_K and Q5_K keep them.
void put_four_bits(const uint8_t q[256], uint8_t out[128]) {
  for (int i = 0; i < 128; ++i) {
    const int first = i / 32 * 64 + i % 32;
    out[i] = static_cast<uint8_t>((q[first] & 15) | (q[first + 32] & 15) << 4);
  }
}

// Two bits a value as Q2_K and Q3_K keep them.
void put_two_bits(const uint8_t q[256], uint8_t out[64]) {
  for (int i = 0; i < 64; ++i) {
    const uint8_t* first = q + i / 32 * 128 + i % 32;
    out[i] = static_cast<uint8_t>((first[0] & 3) | (first[32] & 3) << 2 | (first[64] & 3) << 4 | (first[96] & 3) << 6);
  }
}

// Bit `bit` of each value: bit g of byte i is that of value 32 g + i.
void put_bit(const uint8_t q[256], int bit, uint8_t out[32]) {
  std::memset(out, 0, 32);
  for (int i = 0; i < 256; ++i) out[i % 32] = static_cast<uint8_t>(out[i % 32] | (q[i] >> bit & 1) << i / 32);
}

template <typename Fit, typename Levels>
void numbers(const Fit& fit, const Normalised<256>& block, int size, int low, uint8_t q[256]) {
  for (int i = 0; i < 256; ++i) {
    const float factor = fit.factor[i / size];
    const int level = factor == 0 ? 0 : static_cast<int>(Levels::nearest(block.x[i] / factor));
    q[i] = static_cast<uint8_t>(level - low);
  }
}

template <typename Block, int top>
bool pack_q4k_like(const float* values, Block& block, uint8_t q[256]) {
  const Normalised<256> normal(values);
  Lined<32, 63, top> fit;
  if (!fit.fit(normal)) return false;
  block.d = fit.half, block.dmin = fit.half_minimum;
  pack_q4k_scales(fit.scales, fit.minima, block.scales);
  for (int i = 0; i < 256; ++i) q[i] = fit.level(normal, i);
  put_four_bits(q, block.q);
  return true;
}

}  // namespace

bool pack(const float* values, cpu::BlockQ4K& block) {
  uint8_t q[256];
  return pack_q4k_like<cpu::BlockQ4K, 15>(values, block, q);
}

bool pack(const float* values, cpu::BlockQ5K& block) {
  uint8_t q[256];
  if (!pack_q4k_like<cpu::BlockQ5K, 31>(values, block, q)) return false;
  put_bit(q, 4, block.high);
  return true;
}

bool pack(const float* values, cpu::BlockQ2K& block) {
  const Normalised<256> normal(values);
  Lined<16, 15, 3> fit;
  if (!fit.fit(normal)) return false;
  block.d = fit.half, block.dmin = fit.half_minimum;
  for (int s = 0; s < 16; ++s) block.scales[s] = static_cast<uint8_t>(fit.scales[s] | fit.minima[s] << 4);
  uint8_t q[256];
  for (int i = 0; i < 256; ++i) q[i] = fit.level(normal, i);
  put_two_bits(q, block.q);
  return true;
}

bool pack(const float* values, cpu::BlockQ6K& block) {
  using Levels = Integers<-32, 31>;
  const Normalised<256> normal(values);
  Scaled<Levels, 16, -128, 127> fit;
  if (!fit.fit(normal)) return false;
  block.d = fit.half;
  for (int s = 0; s < 16; ++s) block.scales[s] = static_cast<int8_t>(fit.scales[s]);
  uint8_t q[256];
  numbers<decltype(fit), Levels>(fit, normal, 16, -32, q);
  for (int half = 0; half < 2; ++half)
    for (int i = 0; i < 32; ++i) {
      const uint8_t* first = q + half * 128 + i;
      block.low[half * 64 + i] = static_cast<uint8_t>((first[0] & 15) | (first[64] & 15) << 4);
      block.low[half * 64 + 32 + i] = static_cast<uint8_t>((first[32] & 15) | (first[96] & 15) << 4);
      block.high[half * 32 + i] =
          static_cast<uint8_t>(first[0] >> 4 | first[32] >> 4 << 2 | first[64] >> 4 << 4 | first[96] >> 4 << 6);
    }
  return true;
}

bool pack(const float* values, cpu::BlockQ3K& block) {
  using Levels = Integers<-4, 3>;
  const Normalised<256> normal(values);
  Scaled<Levels, 16, -32, 31> fit;
  if (!fit.fit(normal)) return false;
  block.d = fit.half;
  std::memset(block.scales, 0, sizeof(block.scales));
  for (int s = 0; s < 16; ++s) {   // the inverse of cpu::unpack_q3k_scales
    const int scale = fit.scales[s] + 32;
    uint8_t &low = block.scales[s % 8], &high = block.scales[8 + s % 4];
    low = static_cast<uint8_t>(low | (scale & 15) << (s < 8 ? 0 : 4));
    high = static_cast<uint8_t>(high | scale >> 4 << s / 4 * 2);
  }
  uint8_t q[256];
  numbers<decltype(fit), Levels>(fit, normal, 16, -4, q);
  put_two_bits(q, block.q);
  put_bit(q, 2, block.high);
  return true;
}

bool pack(const float* values, cpu::BlockIQ4XS& block) {
  const Normalised<256> normal(values);
  Scaled<NonLinear, 32, -32, 31> fit;
  if (!fit.fit(normal)) return false;
  block.d = fit.half;
  block.scales_high = 0;
  std::memset(block.scales_low, 0, sizeof(block.scales_low));
  for (int s = 0; s < 8; ++s) {
    const int scale = fit.scales[s] + 32;
    block.scales_low[s / 2] = static_cast<uint8_t>(block.scales_low[s / 2] | (scale & 15) << s % 2 * 4);
    block.scales_high = static_cast<uint16_t>(block.scales_high | scale >> 4 << s * 2);
  }
  for (int s = 0; s < 8; ++s)
    for (int i = 0; i < 16; ++i) {
      const float factor = fit.factor[s], inverse = factor == 0 ? 0 : 1 / factor;
      const float* x = normal.x + s * 32 + i;
      block.q[s * 16 + i] = static_cast<uint8_t>(NonLinear::index(x[0] * inverse) | NonLinear::index(x[16] * inverse) << 4);
    }
  return true;
}

}  // namespace wenqu::engine::quant
