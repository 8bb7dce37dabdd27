#include "retrieval/rank/best_passages.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace wenqu::retrieval {

void BestPassages::add(int32_t doc, uint32_t units) {
  if (units < threshold_) return;
  candidates_.push_back({doc, units});
  heap_.push_back(units);
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  if (heap_.size() > wanted_) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    heap_.pop_back();
  }
  if (heap_.size() == wanted_) threshold_ = std::max(threshold_, heap_.front());
  if (candidates_.size() >= compact_at_) compact();
}

void BestPassages::compact() {
  std::erase_if(candidates_, [this](const Candidate& candidate) { return candidate.units < threshold_; });
  compact_at_ = std::max<size_t>(1024, 2 * candidates_.size());
}

std::vector<BestPassages::Candidate> BestPassages::take() {
  compact();
  return std::exchange(candidates_, {});
}

}  // namespace wenqu::retrieval
