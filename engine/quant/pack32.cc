// Types with blocks of 32 and one scale (and minimum) in half precision.
#include <cstring>

#include "engine/quant/fit.h"
#include "engine/quant/pack.h"

namespace wenqu::engine::quant {
namespace {

template <typename Levels>
uint16_t find_scale(const Normalised<32>& block) {
  return block.half(fit_scale<Levels, 32>(block.x, block.w));
}

// The levels' numbers above the lowest.
template <int low, int high>
void levels(const Normalised<32>& block, uint16_t half, uint8_t q[32]) {
  const float scale = block.normal(half), inverse = scale == 0 ? 0 : 1 / scale;
  for (int i = 0; i < 32; ++i) q[i] = static_cast<uint8_t>(static_cast<int>(Integers<low, high>::nearest(block.x[i] * inverse)) - low);
}

void put_nibbles(const uint8_t q[32], uint8_t out[16]) {
  for (int i = 0; i < 16; ++i) out[i] = static_cast<uint8_t>((q[i] & 15) | (q[i + 16] & 15) << 4);
}

void put_fifth_bits(const uint8_t q[32], uint8_t out[4]) {
  std::memset(out, 0, 4);
  for (int i = 0; i < 32; ++i) out[i / 8] = static_cast<uint8_t>(out[i / 8] | (q[i] >> 4) << i % 8);
}

// A minimum may be below zero here: x = scale * q + minimum for any sign, so that the whole range is
// shifted to begin at zero before a line is laid through it.
template <int high>
bool pack_line(const float* values, uint16_t& d, uint16_t& m, uint8_t q[32]) {
  const Normalised<32> block(values);
  float low = *std::min_element(block.x, block.x + 32), shifted[32];
  for (int i = 0; i < 32; ++i) shifted[i] = block.x[i] - low;
  const Line line = fit_line<32>(shifted, block.w, high);
  d = block.half(line.scale), m = cpu::float_to_half((low - line.minimum) * block.unit);
  if (is_infinite(d) || is_infinite(m)) return false;
  const float scale = block.normal(d), minimum = block.normal(m), inverse = scale == 0 ? 0 : 1 / scale;
  for (int i = 0; i < 32; ++i)
    q[i] = static_cast<uint8_t>(static_cast<int>(Integers<0, high>::nearest((block.x[i] - minimum) * inverse)));
  return true;
}

}  // namespace

bool pack(const float* values, cpu::BlockQ8_0& block) {
  const Normalised<32> normal(values);
  block.d = find_scale<Integers<-127, 127>>(normal);
  if (is_infinite(block.d)) return false;
  uint8_t q[32];
  levels<-127, 127>(normal, block.d, q);
  for (int i = 0; i < 32; ++i) block.q[i] = static_cast<int8_t>(q[i] - 127);
  return true;
}

bool pack(const float* values, cpu::BlockQ4_0& block) {
  const Normalised<32> normal(values);
  block.d = find_scale<Integers<-8, 7>>(normal);
  if (is_infinite(block.d)) return false;
  uint8_t q[32];
  levels<-8, 7>(normal, block.d, q);
  put_nibbles(q, block.q);
  return true;
}

bool pack(const float* values, cpu::BlockQ5_0& block) {
  const Normalised<32> normal(values);
  block.d = find_scale<Integers<-16, 15>>(normal);
  if (is_infinite(block.d)) return false;
  uint8_t q[32];
  levels<-16, 15>(normal, block.d, q);
  put_nibbles(q, block.q);
  put_fifth_bits(q, block.high);
  return true;
}

bool pack(const float* values, cpu::BlockQ4_1& block) {
  uint8_t q[32];
  if (!pack_line<15>(values, block.d, block.m, q)) return false;
  put_nibbles(q, block.q);
  return true;
}

bool pack(const float* values, cpu::BlockQ5_1& block) {
  uint8_t q[32];
  if (!pack_line<31>(values, block.d, block.m, q)) return false;
  put_nibbles(q, block.q);
  put_fifth_bits(q, block.high);
  return true;
}

bool pack(const float* values, cpu::BlockIQ4NL& block) {
  const Normalised<32> normal(values);
  block.d = find_scale<NonLinear>(normal);
  if (is_infinite(block.d)) return false;
  const float scale = normal.normal(block.d), inverse = scale == 0 ? 0 : 1 / scale;
  uint8_t q[32];
  for (int i = 0; i < 32; ++i) q[i] = static_cast<uint8_t>(NonLinear::index(normal.x[i] * inverse));
  put_nibbles(q, block.q);
  return true;
}

}  // namespace wenqu::engine::quant
