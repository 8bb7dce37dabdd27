// Keeps the best of the passages that a search meets.
//
// Passages that tie with the last place are all kept, because which of them is first is not known before the end.
// Thread safety: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace wenqu::retrieval {

class BestPassages {
 public:
  struct Candidate {
    int32_t doc = 0;       // its number in the snapshot
    uint32_t units = 0;
  };
  // `floor`: as many passages as are wanted are known to have at least so much. REQUIRES: wanted > 0
  explicit BestPassages(size_t wanted, uint32_t floor = 1) : wanted_(wanted), threshold_(floor) {}

  // A passage with less is none of the best. At least 1.
  uint32_t threshold() const { return threshold_; }
  void add(int32_t doc, uint32_t units);
  // Those that have at least the threshold, in the order they came.
  std::vector<Candidate> take();

 private:
  void compact();

  size_t wanted_;
  uint32_t threshold_;
  std::vector<uint32_t> heap_;          // units of the best so far, the least in front
  std::vector<Candidate> candidates_;
  size_t compact_at_ = 1024;
};

}  // namespace wenqu::retrieval
