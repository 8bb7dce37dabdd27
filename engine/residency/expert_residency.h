// Keeps the routed experts of a mixture within a budget of memory. The file stays mapped as a whole, and what is read
// there never changes; this only decides which pages are in memory, and brings in those that are wanted before
// anybody computes with them.
//
// A batch states, layer by layer, which experts its tokens have chosen. Those that are not in memory are read by a
// thread of its own, in the order in which they are used, while the batch computes the layer's shared experts and those
// that are there; it waits for each when it gets to it. What must go in return is the policy's choice, and never what
// a batch is using.
//
// Thread safety: all members from any thread; a lease is used by the threads of one batch. Lifetime: the mapping, and
// whoever gives the limit, outlive it; leases do not.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "engine/residency/expert_policy.h"
#include "engine/residency/expert_use.h"

namespace wenqu::engine {

// Where the experts' matrices of one kind lie, one behind the other.
struct ExpertStack {
  const std::byte* data = nullptr;
  size_t bytes = 0;   // of one matrix
};
// gate, up and down of a layer's experts.
using ExpertLayer = std::array<ExpertStack, 3>;

class ExpertResidency {
 public:
  // limit(): bytes that the experts in memory may come to now. Throws std::bad_alloc.
  ExpertResidency(std::vector<ExpertLayer> layers, size_t experts, std::function<uint64_t()> limit);
  ~ExpertResidency();
  ExpertResidency(const ExpertResidency&) = delete;
  ExpertResidency& operator=(const ExpertResidency&) = delete;

  // Some experts of a layer, which stay in memory as long as the lease lives.
  class Lease {
   public:
    Lease() = default;   // of nothing: no wait
    Lease(Lease&&) = default;
    Lease& operator=(Lease&& other) noexcept { return std::swap(job_, other.job_), *this; }
    ~Lease();

    // Wait until gate and up of active[place] are in memory, or all matrices of all. They return early when
    // cancelled.
    void wait_for(size_t place, const CancelToken& cancel) const;
    void wait_for_all(const CancelToken& cancel) const;

   private:
    friend class ExpertResidency;
    struct Job;
    std::shared_ptr<Job> job_;
  };

  // members[e]: what chose expert e, for each of `active` something; of so many tokens. `active` is put in the order in
  // which to compute: what is in memory first. Throws std::bad_alloc, and has changed nothing that matters then.
  Lease want(size_t layer, std::vector<uint32_t>& active, std::span<const std::vector<uint32_t>> members, size_t tokens);

  // Lets experts go until the rest is within the limit, which may have become smaller.
  void trim() noexcept;
  // Lets go what was touched of experts by somebody who did not ask here.
  void forget_strays() noexcept;

  ExpertUse use() const;

 private:
  size_t index(size_t layer, size_t expert) const { return layer * experts_ + expert; }
  std::span<const std::byte> matrix(size_t index, size_t kind) const;
  void drop(size_t index);
  void drop_mapped_around(size_t index, size_t kind);
  void make_room();
  void read(Lease::Job& job);
  void work();

  const std::vector<ExpertLayer> layers_;
  const size_t experts_;
  const std::function<uint64_t()> limit_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;   // the reader
  std::condition_variable read_;   // those who wait
  ExpertPolicy policy_;            // with those that are coming
  std::vector<char> present_;      // all of an expert is in memory
  ExpertUse use_;
  std::deque<std::shared_ptr<Lease::Job>> jobs_;
  bool stopping_ = false;
  std::thread reader_;             // none where the system gives none: whoever wants then reads
};

}  // namespace wenqu::engine
