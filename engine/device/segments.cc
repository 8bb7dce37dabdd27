#include "engine/device/segments.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace wenqu::engine::device {

class DeviceSegments::Placed final : public Segment, public std::enable_shared_from_this<Placed> {
 public:
  Placed(std::shared_ptr<DeviceSegments> memory, std::shared_ptr<MemoryAccount> account, uint64_t bytes)
      : Segment(memory->host_bytes(bytes)), memory_(std::move(memory)), account_(std::move(account)), bytes_(bytes) {
    const std::lock_guard lock(memory_->known_mutex_);
    memory_->known_.insert(this);
  }
  ~Placed() override {
    const std::lock_guard lock(memory_->known_mutex_);
    memory_->known_.erase(this);
  }

  bool is_away() const { return parts_.empty(); }

  const std::shared_ptr<DeviceSegments> memory_;
  const std::shared_ptr<MemoryAccount> account_;
  const uint64_t bytes_;           // of all layers
  std::vector<Memory> parts_;      // by share; none: away
  MemoryCharge charge_;            // for them
  std::vector<std::byte> away_;    // the devices' layers, where they are away
  MemoryCharge away_charge_;
  uint64_t used_ = 0;              // when, by the clock
  size_t holds_ = 0;
};

DeviceSegments::DeviceSegments(std::vector<Share> shares, size_t host_layers, std::shared_ptr<std::mutex> mutex)
    : shares_(std::move(shares)), host_layers_(host_layers), layers_(host_layers), mutex_(std::move(mutex)) {
  for (const Share& share : shares_) layers_ += share.layers;
}

// Under mutex_. What the account grants a device may still lack.
Result<std::vector<Memory>> DeviceSegments::allocate_parts(uint64_t bytes) {
  for (;;) {
    std::vector<Memory> parts;
    Status status;
    for (size_t s = 0; s < shares_.size() && status; ++s) {
      Result<Memory> part = Memory::allocate(shares_[s].device, part_bytes(bytes, s));
      if (part) parts.push_back(std::move(*part));
      else status = part.status();
    }
    if (status) return parts;
    parts.clear();
    if (status.code() != StatusCode::out_of_memory) return status;
    if (!move_away()) return why(status);
  }
}

// Under mutex_: that there is no room, or what the device answered when room was to be made.
Status DeviceSegments::why(const Status& no_room) {
  const Status failed = std::exchange(failed_, Status());
  return failed ? no_room : failed;
}

Result<std::shared_ptr<Segment>> DeviceSegments::allocate(uint64_t bytes, const std::shared_ptr<MemoryAccount>& account) {
  const std::shared_ptr<Segment> refused;
  MemoryCharge charge(account, bytes);
  if (!charge) {
    const std::lock_guard lock(*mutex_);
    const Status failed = why({});
    return failed ? Result<std::shared_ptr<Segment>>(refused) : failed;
  }
  auto segment = std::make_shared<Placed>(shared_from_this(), account, bytes);
  if (segment->host()) std::memset(segment->host(), 0, host_bytes(bytes));
  const std::lock_guard lock(*mutex_);
  Result<std::vector<Memory>> parts = allocate_parts(bytes);
  if (!parts && parts.status().code() == StatusCode::out_of_memory) return refused;
  if (!parts) return parts.status();
  // Saved sessions hold no rest of what somebody else had there.
  for (size_t s = 0; s < shares_.size(); ++s) WENQU_RETURN_IF_ERROR(shares_[s].device->clear((*parts)[s].data(), part_bytes(bytes, s)));
  segment->parts_ = std::move(*parts), segment->charge_ = std::move(charge);
  segment->used_ = ++clock_;
  return std::shared_ptr<Segment>(std::move(segment));
}

// Under mutex_: the devices' layers.
Status DeviceSegments::read(const Placed& from, std::byte* to) {
  if (from.is_away()) {
    std::memcpy(to, from.away_.data(), from.away_.size());
    return {};
  }
  for (size_t s = 0; s < shares_.size(); ++s) {
    const uint64_t bytes = part_bytes(from.bytes_, s);
    WENQU_RETURN_IF_ERROR(shares_[s].device->download(to, from.parts_[s].data(), bytes));
    to += bytes;
  }
  return {};
}

Status DeviceSegments::write(Placed& to, const std::byte* from) {
  if (to.is_away()) {
    std::memcpy(to.away_.data(), from, to.away_.size());
    return {};
  }
  for (size_t s = 0; s < shares_.size(); ++s) {
    const uint64_t bytes = part_bytes(to.bytes_, s);
    WENQU_RETURN_IF_ERROR(shares_[s].device->upload(to.parts_[s].data(), from, bytes));
    from += bytes;
  }
  return {};
}

Status DeviceSegments::copy(Segment& to_segment, Segment& from_segment) {
  Placed &to = static_cast<Placed&>(to_segment), &from = static_cast<Placed&>(from_segment);
  const std::lock_guard lock(*mutex_);
  if (from.host()) std::memcpy(to.host(), from.host(), host_bytes(from.bytes_));
  if (from.is_away()) return write(to, from.away_.data());
  if (to.is_away()) return read(from, to.away_.data());
  for (size_t s = 0; s < shares_.size(); ++s)
    WENQU_RETURN_IF_ERROR(shares_[s].device->copy(to.parts_[s].data(), from.parts_[s].data(), part_bytes(from.bytes_, s)));
  return {};
}

Status DeviceSegments::to_host(std::byte* to, Segment& from_segment) {
  const Placed& from = static_cast<Placed&>(from_segment);
  const std::lock_guard lock(*mutex_);
  if (from.host()) std::memcpy(to, from.host(), host_bytes(from.bytes_));
  return read(from, to + host_bytes(from.bytes_));
}

Status DeviceSegments::from_host(Segment& to_segment, const std::byte* from) {
  Placed& to = static_cast<Placed&>(to_segment);
  const std::lock_guard lock(*mutex_);
  if (to.host()) std::memcpy(to.host(), from, host_bytes(to.bytes_));
  return write(to, from + host_bytes(to.bytes_));
}

// Under mutex_.
std::shared_ptr<DeviceSegments::Placed> DeviceSegments::oldest_unused() {
  const std::lock_guard lock(known_mutex_);
  uint64_t after = 0;   // one that nobody has any more is on its way out by itself
  for (;;) {
    Placed* oldest = nullptr;
    for (Placed* segment : known_)
      if (!segment->is_away() && segment->holds_ == 0 && segment->used_ >= after && (!oldest || segment->used_ < oldest->used_)) oldest = segment;
    if (!oldest) return nullptr;
    if (std::shared_ptr<Placed> alive = oldest->weak_from_this().lock()) return alive;
    after = oldest->used_ + 1;
  }
}

bool DeviceSegments::move_away() {
  failed_ = Status();
  const std::shared_ptr<Placed> oldest = oldest_unused();
  if (!oldest) return false;
  try {
    const uint64_t bytes = oldest->bytes_ - host_bytes(oldest->bytes_);
    MemoryCharge charge(host_account_, bytes);
    if (!charge) return false;
    std::vector<std::byte> copy(bytes);
    failed_ = read(*oldest, copy.data());
    if (!failed_) return false;
    oldest->away_ = std::move(copy), oldest->away_charge_ = std::move(charge);
    moved_ += bytes;
  } catch (const std::bad_alloc&) {
    return false;
  }
  oldest->parts_.clear();
  oldest->charge_ = MemoryCharge();
  return true;
}

bool DeviceSegments::give_way() noexcept {
  const std::lock_guard lock(*mutex_);
  return move_away();
}

uint64_t DeviceSegments::bytes_moved() const {
  const std::lock_guard lock(*mutex_);
  return moved_;
}

Status DeviceSegments::bring_back(Placed& segment) {
  const auto refused = [&] {
    return Status(StatusCode::out_of_memory, "a session's keys and values, which lie in the host's memory, do not fit onto the GPU beside those in use: end other sessions");
  };
  MemoryCharge charge(segment.account_, segment.bytes_);   // others are moved away for it: not under the mutex
  const std::lock_guard lock(*mutex_);
  if (!charge) return why(refused());
  if (!segment.is_away()) return {};   // somebody else has
  Result<std::vector<Memory>> parts = allocate_parts(segment.bytes_);
  if (!parts) return parts.status().code() == StatusCode::out_of_memory ? refused() : parts.status();
  segment.parts_ = std::move(*parts);
  const std::vector<std::byte> bytes = std::exchange(segment.away_, {});
  if (Status status = write(segment, bytes.data()); !status) {
    segment.parts_.clear();
    segment.away_ = bytes;
    return status;
  }
  segment.charge_ = std::move(charge);
  segment.away_charge_ = MemoryCharge();
  moved_ += bytes.size();
  return {};
}

Result<DeviceSegments::Hold> DeviceSegments::hold(std::span<Segment* const> segments) {
  Hold hold;
  hold.held_.reserve(segments.size());
  std::vector<Placed*> away;
  {
    const std::lock_guard lock(*mutex_);
    hold.memory_ = shared_from_this();
    away.reserve(segments.size());
    ++clock_;
    for (Segment* one : segments) {
      Placed& segment = static_cast<Placed&>(*one);
      segment.used_ = clock_;
      ++segment.holds_;
      if (segment.is_away()) away.push_back(&segment);
      hold.held_.push_back(one);
    }
  }
  for (Placed* segment : away) WENQU_RETURN_IF_ERROR(bring_back(*segment));
  return hold;
}

DeviceSegments::Hold::~Hold() {
  if (!memory_) return;
  const std::lock_guard lock(*memory_->mutex_);
  for (Segment* one : held_) --static_cast<Placed&>(*one).holds_;
}

std::byte* DeviceSegments::part(Segment& segment, size_t share) { return static_cast<Placed&>(segment).parts_[share].data(); }

}  // namespace wenqu::engine::device
