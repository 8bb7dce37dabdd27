// Room for numbers that are about to be written: unlike a vector it does not set them to zero first, which for a
// batch's rows costs as much as reading a good part of the weights.
#pragma once

#include <cstddef>
#include <memory>

namespace wenqu::engine::ops {

class Floats {
 public:
  Floats() = default;
  explicit Floats(size_t size) { resize(size); }

  // What was there is lost when the room grows. Throws std::bad_alloc.
  void resize(size_t size) {
    if (size > capacity_) {
      room_.reset();
      capacity_ = 0;
      room_ = std::make_unique_for_overwrite<float[]>(size);
      capacity_ = size;
    }
    size_ = size;
  }

  size_t size() const { return size_; }
  float* data() { return room_.get(); }
  const float* data() const { return room_.get(); }
  float& operator[](size_t i) { return room_[i]; }
  float operator[](size_t i) const { return room_[i]; }
  float* begin() { return data(); }
  float* end() { return data() + size_; }

 private:
  std::unique_ptr<float[]> room_;
  size_t size_ = 0, capacity_ = 0;
};

}  // namespace wenqu::engine::ops
