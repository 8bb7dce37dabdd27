// Where KV caches lie that a device computes with: in its own memory.
#pragma once

#include <memory>
#include <mutex>

#include "engine/cache/segment_memory.h"
#include "engine/cuda/device.h"

namespace wenqu::engine::device {

// The mutex is held over whatever is asked of the device but memory.
class DeviceSegments final : public SegmentMemory {
 public:
  DeviceSegments(std::shared_ptr<cuda::Device> device, std::shared_ptr<std::mutex> mutex) : device_(std::move(device)), mutex_(std::move(mutex)) {}

  std::shared_ptr<std::byte[]> allocate(size_t bytes) override {
    const std::lock_guard lock(*mutex_);
    const Result<void*> memory = device_->allocate(bytes);
    if (!memory) return nullptr;
    std::shared_ptr<std::byte[]> segment(static_cast<std::byte*>(*memory), [device = device_](std::byte* data) { device->release(data); });
    // Saved sessions hold no rest of what somebody else had there.
    return device_->clear(segment.get(), bytes) ? segment : nullptr;
  }
  Status copy(std::byte* to, const std::byte* from, size_t bytes) override {
    const std::lock_guard lock(*mutex_);
    return device_->copy(to, from, bytes);
  }
  Status to_host(std::byte* to, const std::byte* from, size_t bytes) override {
    const std::lock_guard lock(*mutex_);
    return device_->download(to, from, bytes);
  }
  Status from_host(std::byte* to, const std::byte* from, size_t bytes) override {
    const std::lock_guard lock(*mutex_);
    return device_->upload(to, from, bytes);
  }

 private:
  const std::shared_ptr<cuda::Device> device_;
  const std::shared_ptr<std::mutex> mutex_;
};

}  // namespace wenqu::engine::device
