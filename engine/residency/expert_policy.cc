#include "engine/residency/expert_policy.h"

#include <algorithm>
#include <cmath>

namespace wenqu::engine {

ExpertPolicy::ExpertPolicy(std::vector<uint64_t> bytes, double half_life) : experts_(bytes.size()), half_life_(half_life) {
  for (size_t i = 0; i < bytes.size(); ++i) experts_[i].bytes = bytes[i];
}

void ExpertPolicy::step(double amount) {
  constexpr double kLarge = 1e100;
  unit_ *= std::exp2(std::min(amount / half_life_, 100.0));
  if (unit_ < kLarge) return;
  for (Expert& expert : experts_) expert.use /= unit_;
  unit_ = 1;
}

void ExpertPolicy::add(size_t expert) {
  if (experts_[expert].in_memory) return;
  experts_[expert].in_memory = true;
  bytes_in_memory_ += experts_[expert].bytes;
}

void ExpertPolicy::remove(size_t expert) {
  if (!experts_[expert].in_memory) return;
  experts_[expert].in_memory = false;
  bytes_in_memory_ -= experts_[expert].bytes;
}

std::vector<size_t> ExpertPolicy::make_room(uint64_t limit) {
  std::vector<size_t> gone;
  if (bytes_in_memory_ <= limit) return gone;
  std::vector<size_t> heap;   // the least used on top
  for (size_t i = 0; i < experts_.size(); ++i)
    if (experts_[i].in_memory && experts_[i].holds == 0) heap.push_back(i);
  gone.reserve(heap.size());
  const auto more_used = [&](size_t a, size_t b) { return experts_[a].use > experts_[b].use; };
  std::make_heap(heap.begin(), heap.end(), more_used);
  while (bytes_in_memory_ > limit && !heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), more_used);
    gone.push_back(heap.back());
    remove(heap.back());
    heap.pop_back();
  }
  return gone;
}

}  // namespace wenqu::engine
