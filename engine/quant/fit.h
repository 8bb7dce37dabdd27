// Scales for one sub-block by weighted least squares.
//
// Values and weights come normalised (the largest magnitude of the block is from 1 to 2), so that no sum
// overflows. Functions have internal linkage and fixed sizes, for the compiler's sake.
#pragma once

#include <cmath>
#include <cstdint>

#include "engine/cpu/blocks.h"

namespace wenqu::engine::quant {

// Whole numbers from low to high.
template <int low, int high>
struct Integers {
  static constexpr int kLow = low, kHigh = high;
  static constexpr float kReach = 1;   // how far beyond and within its ends the extreme value is tried
  static float nearest(float x) {
    // Truncation rounds numbers above zero; the clamp comes first, so that it is never given others.
    x = x < low ? low : x > high ? high : x;
    return static_cast<float>(static_cast<int>(x + (0.5f - low)) + low);
  }
};

// The sixteen values of IQ4_NL and IQ4_XS.
struct NonLinear {
  static constexpr int kLow = cpu::kNonLinear[0], kHigh = cpu::kNonLinear[15];
  static constexpr float kReach = 24;
  static int index(float x) {
    int i = 0;
    for (int k = 1; k < 16; ++k) i += x > 0.5f * static_cast<float>(cpu::kNonLinear[k - 1] + cpu::kNonLinear[k]);
    return i;
  }
  static float nearest(float x) { return cpu::kNonLinear[index(x)]; }
};

// Sums of `n` terms in a fixed order that vector units like.
template <int n, typename Term>
static inline float sum_of(Term term) {
  float lanes[8] = {};
  for (int i = 0; i < n; i += 8)
    for (int k = 0; k < 8; ++k) lanes[k] += term(i + k);
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

// sum w (x - scale * level)^2 with the best levels for the scale; 0 is a scale, too.
template <typename Levels, int n>
static inline float scale_error(const float* x, const float* w, float scale) {
  const float inverse = scale == 0 ? 0 : 1 / scale;
  return sum_of<n>([&](int i) {
    const float rest = x[i] - scale * Levels::nearest(x[i] * inverse);
    return w[i] * rest * rest;
  });
}

// The best scale for x = scale * level; 0 when all of x is 0.
template <typename Levels, int n>
static inline float fit_scale(const float* x, const float* w) {
  float extreme = 0;
  for (int i = 0; i < n; ++i)
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  if (extreme == 0) return 0;
  float best = 0, gain = -1;
  // Refits the scale to the levels it gives; sum w x^2 - gain is the error that is left.
  const auto consider = [&](float scale) {
    const float inverse = 1 / scale;
    float level[n];
    for (int i = 0; i < n; ++i) level[i] = Levels::nearest(x[i] * inverse);
    const float product = sum_of<n>([&](int i) { return w[i] * x[i] * level[i]; });
    const float square = sum_of<n>([&](int i) { return w[i] * level[i] * level[i]; });
    if (square <= 0 || product * product <= gain * square) return;
    gain = product * product / square;
    best = product / square;
  };
  constexpr int kTries = 8;
  for (int side = 0; side < 2; ++side) {
    const float end = static_cast<float>(side == 0 ? Levels::kLow : Levels::kHigh);
    for (int k = -kTries; k <= kTries; ++k) {
      const float at = end + Levels::kReach * static_cast<float>(k) / kTries;
      if (std::fabs(at) > 0.5f) consider(extreme / at);
    }
  }
  if (best != 0) consider(best);
  return best;
}

struct Line {
  float scale = 0, minimum = 0;   // x = scale * q - minimum, both 0 or above
};

template <int n>
static inline float line_error(const float* x, const float* w, Line line, int high) {
  const float inverse = line.scale == 0 ? 0 : 1 / line.scale, top = static_cast<float>(high);
  return sum_of<n>([&](int i) {
    float q = (x[i] + line.minimum) * inverse;
    q = q < 0 ? 0 : q > top ? top : q;
    q = static_cast<float>(static_cast<int>(q + 0.5f));
    const float rest = x[i] + line.minimum - line.scale * q;
    return w[i] * rest * rest;
  });
}

// The best line for q from 0 to `high`.
template <int n>
static inline Line fit_line(const float* x, const float* w, int high) {
  float low = 0, top = x[0];
  for (int i = 0; i < n; ++i) low = std::fmin(low, x[i]), top = std::fmax(top, x[i]);
  if (top <= low) return {0, -low};   // all the same, or all zero
  const double sum_w = sum_of<n>([&](int i) { return w[i]; }), sum_x = sum_of<n>([&](int i) { return w[i] * x[i]; });
  Line best{(top - low) / static_cast<float>(high), -low};
  float least = line_error<n>(x, w, best, high);
  const auto consider = [&](Line line) {
    const float inverse = 1 / line.scale, limit = static_cast<float>(high);
    float q[n];
    for (int i = 0; i < n; ++i) {
      const float at = (x[i] + line.minimum) * inverse;
      q[i] = static_cast<float>(static_cast<int>((at < 0 ? 0 : at > limit ? limit : at) + 0.5f));
    }
    const double qq = sum_of<n>([&](int i) { return w[i] * q[i] * q[i]; }), q1 = sum_of<n>([&](int i) { return w[i] * q[i]; });
    const double qx = sum_of<n>([&](int i) { return w[i] * q[i] * x[i]; }), determinant = qq * sum_w - q1 * q1;
    if (determinant <= 1e-9 * qq * sum_w) return Line{};
    double scale = (qx * sum_w - q1 * sum_x) / determinant, minimum = (qx * q1 - sum_x * qq) / determinant;
    if (minimum < 0) minimum = 0, scale = qx / qq;
    if (!(scale > 0)) return Line{};
    const Line refitted{static_cast<float>(scale), static_cast<float>(minimum)};
    const float error = line_error<n>(x, w, refitted, high);
    if (error < least) least = error, best = refitted;
    return refitted;
  };
  // With fewer steps the extremes are clipped, with more the last step is spared.
  constexpr int kTries = 8;
  for (int k = -kTries; k <= kTries; ++k) {
    const Line refitted = consider({(top - low) / (static_cast<float>(high) + static_cast<float>(k) / kTries), -low});
    if (refitted.scale > 0) consider(refitted);
  }
  return best;
}

}  // namespace wenqu::engine::quant
