// Decides which of a mixture's experts stay in memory: those that were used most, where use fades with the tokens
// read since. What goes first is what was used least (LFU with decay); a scan of all experts, such as a long prompt
// makes, does not drive out those that every text uses.
//
// Thread safety: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace wenqu::engine {

class ExpertPolicy {
 public:
  // bytes: of each expert. half_life: in units of step(), after which a use counts half.
  ExpertPolicy(std::vector<uint64_t> bytes, double half_life);

  size_t size() const { return experts_.size(); }
  // Time passes.
  void step(double amount);
  // An expert is used by so many tokens.
  void use(size_t expert, double tokens) { experts_[expert].use += unit_ * tokens; }
  // How much it is used, as uses now count.
  double used(size_t expert) const { return experts_[expert].use / unit_; }

  bool in_memory(size_t expert) const { return experts_[expert].in_memory; }
  uint64_t bytes(size_t expert) const { return experts_[expert].bytes; }
  uint64_t bytes_in_memory() const { return bytes_in_memory_; }
  void add(size_t expert);      // to those in memory
  void remove(size_t expert);

  // An expert that is held does not go; holds are counted.
  void hold(size_t expert) { ++experts_[expert].holds; }
  void let_go(size_t expert) { --experts_[expert].holds; }

  // Those that must go so that what is in memory comes to `limit` bytes or fewer, removed already. When all that are
  // held come to more, those stay. Throws std::bad_alloc, and has changed nothing then.
  std::vector<size_t> make_room(uint64_t limit);

 private:
  struct Expert {
    uint64_t bytes = 0;
    double use = 0;       // in units of its time
    uint32_t holds = 0;
    bool in_memory = false;
  };
  std::vector<Expert> experts_;
  const double half_life_;
  double unit_ = 1;       // what a use counts now; it grows instead of everything else fading
  uint64_t bytes_in_memory_ = 0;
};

}  // namespace wenqu::engine
