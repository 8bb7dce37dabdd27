// Rotary position embedding (Su et al. 2021): pairs of numbers turned by position * frequency.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace wenqu::engine::ops {

enum class RopePairing {
  adjacent,   // (0,1), (2,3) ...
  halves,     // (0,n/2), (1,n/2+1) ...
};

// Cosines and sines of a batch's positions, made once for all layers and heads.
class RopeTable {
 public:
  RopeTable(std::span<const double> frequencies, float magnitude, std::span<const size_t> positions);

  // Turns the first 2 * frequencies numbers of x for positions[index].
  void rotate(RopePairing pairing, size_t index, float* x) const;

  // [positions][pairs]
  std::span<const float> cosines() const { return cos_; }
  std::span<const float> sines() const { return sin_; }

 private:
  size_t pairs_;
  std::vector<float> cos_, sin_;   // [positions][pairs]
};

}  // namespace wenqu::engine::ops
