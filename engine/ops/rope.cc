#include "engine/ops/rope.h"

#include <cmath>

namespace wenqu::engine::ops {

RopeTable::RopeTable(std::span<const double> frequencies, float magnitude, std::span<const size_t> positions)
    : pairs_(frequencies.size()), cos_(positions.size() * pairs_), sin_(positions.size() * pairs_) {
  for (size_t p = 0; p < positions.size(); ++p)
    for (size_t i = 0; i < pairs_; ++i) {
      const double angle = static_cast<double>(positions[p]) * frequencies[i];
      cos_[p * pairs_ + i] = static_cast<float>(std::cos(angle)) * magnitude;
      sin_[p * pairs_ + i] = static_cast<float>(std::sin(angle)) * magnitude;
    }
}

void RopeTable::rotate(RopePairing pairing, size_t index, float* x) const {
  const float* cosine = cos_.data() + index * pairs_;
  const float* sine = sin_.data() + index * pairs_;
  const size_t step = pairing == RopePairing::adjacent ? 2 : 1;
  const size_t apart = pairing == RopePairing::adjacent ? 1 : pairs_;
  for (size_t i = 0; i < pairs_; ++i) {
    float& a = x[i * step];
    float& b = x[i * step + apart];
    const float a0 = a, b0 = b;
    a = a0 * cosine[i] - b0 * sine[i];
    b = a0 * sine[i] + b0 * cosine[i];
  }
}

}  // namespace wenqu::engine::ops
