// Memory of a device, given back with its owner.
#pragma once

#include <memory>
#include <utility>

#include "engine/cuda/device.h"

namespace wenqu::engine::device {

class Memory {
 public:
  Memory() = default;
  static Result<Memory> allocate(std::shared_ptr<cuda::Device> device, size_t bytes) {
    WENQU_ASSIGN_OR_RETURN(void* const data, device->allocate(bytes));
    return Memory(std::move(device), data, bytes);
  }
  Memory(Memory&& other) noexcept { *this = std::move(other); }
  Memory& operator=(Memory&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Memory() {
    if (data_) device_->release(data_);
  }

  std::byte* data() const { return static_cast<std::byte*>(data_); }
  size_t bytes() const { return bytes_; }

 private:
  Memory(std::shared_ptr<cuda::Device> device, void* data, size_t bytes) : device_(std::move(device)), data_(data), bytes_(bytes) {}

  std::shared_ptr<cuda::Device> device_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace wenqu::engine::device
