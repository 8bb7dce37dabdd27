// The KV caches of a model that devices compute: each device has the segments' parts of its own layers, the host those of
// the first ones, where the CPU computes these.
//
// What no batch uses may be moved to the host's memory, the longest unused first, so that sessions together may hold more
// than the devices do; before a batch it comes back. A segment is on its devices whole, or not at all.
//
// Thread safety: all members from any thread, but for part().
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <vector>

#include "engine/cache/memory_account.h"
#include "engine/cache/segment_memory.h"
#include "engine/cuda/device.h"
#include "engine/device/memory.h"

namespace wenqu::engine::device {

class DeviceSegments final : public SegmentMemory, public std::enable_shared_from_this<DeviceSegments> {
 public:
  // A device and how many layers it has, in their order.
  struct Share {
    std::shared_ptr<cuda::Device> device;
    size_t layers = 0;
  };
  // The mutex is held over whatever is asked of the devices but memory.
  DeviceSegments(std::vector<Share> shares, size_t host_layers, std::shared_ptr<std::mutex> mutex);

  Result<std::shared_ptr<Segment>> allocate(uint64_t bytes, const std::shared_ptr<MemoryAccount>& account) override;
  Status copy(Segment& to, Segment& from) override;
  Status to_host(std::byte* to, Segment& from) override;
  Status from_host(Segment& to, const std::byte* from) override;

  // Some segments that stay on their devices while this lives.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept { *this = std::move(other); }
    Hold& operator=(Hold&& other) noexcept {
      std::swap(memory_, other.memory_), std::swap(held_, other.held_);
      return *this;
    }
    ~Hold();

   private:
    friend class DeviceSegments;
    std::shared_ptr<DeviceSegments> memory_;
    std::vector<Segment*> held_;
  };
  // Brings back those that are away. The segments are this memory's, and outlive the hold. Errors: out_of_memory, when they
  // do not all fit beside others that are held; those of the devices.
  Result<Hold> hold(std::span<Segment* const> segments);
  // Where a held segment's part lies on a device, by the number of its share.
  static std::byte* part(Segment& segment, size_t share);

  // Moves the segment that was unused for the longest time to the host's memory. False when there is none, or no room.
  bool give_way() noexcept;

  // Moved so far, in either direction.
  uint64_t bytes_moved() const;

 private:
  class Placed;
  std::shared_ptr<Placed> oldest_unused();
  bool move_away();
  Status why(const Status& no_room);
  Status bring_back(Placed& segment);
  Result<std::vector<Memory>> allocate_parts(uint64_t bytes);
  uint64_t part_bytes(uint64_t bytes, size_t share) const { return bytes / layers_ * shares_[share].layers; }
  uint64_t host_bytes(uint64_t bytes) const { return bytes / layers_ * host_layers_; }
  Status write(Placed& to, const std::byte* from);
  Status read(const Placed& from, std::byte* to);

  const std::vector<Share> shares_;
  const size_t host_layers_;
  size_t layers_ = 0;   // in all
  const std::shared_ptr<std::mutex> mutex_;
  const std::shared_ptr<MemoryAccount> host_account_ = std::make_shared<MemoryAccount>();   // what the system has free
  uint64_t clock_ = 0, moved_ = 0;   // under mutex_, as is all of a segment but its being known
  Status failed_;                    // what a device answered to the last move away, until it is told
  std::mutex known_mutex_;           // taken behind mutex_, for a moment
  std::set<Placed*> known_;
};

}  // namespace wenqu::engine::device
