// Room for numbers that are about to be written: unlike a vector it does not set them to zero first, which for a
// batch's rows costs as much as reading a good part of the weights. Much of it lies in large pages where the system has
// them: products write a batch's rows side by side, a page apart each.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

#include "base/page_advice.h"

namespace wenqu::engine::ops {

template <typename T>
class Numbers {
  static_assert(std::is_trivial_v<T>);

 public:
  Numbers() = default;
  explicit Numbers(size_t size) { resize(size); }

  // What was there is lost when the room grows. Throws std::bad_alloc.
  void resize(size_t size) {
    if (size > capacity_) {
      room_.reset();
      capacity_ = 0;
      room_.reset(allocate(size));
      capacity_ = size;
    }
    size_ = size;
  }

  size_t size() const { return size_; }
  T* data() { return room_.get(); }
  const T* data() const { return room_.get(); }
  T& operator[](size_t i) { return room_[i]; }
  T operator[](size_t i) const { return room_[i]; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }

 private:
  static constexpr size_t kLargePage = size_t{2} << 20, kLine = 64;

  static T* allocate(size_t size) {
    if (size > (static_cast<size_t>(-1) - kLargePage) / sizeof(T)) throw std::bad_alloc();
    const size_t bytes = size * sizeof(T), unit = bytes < kLargePage ? kLine : kLargePage, whole = (bytes + unit - 1) / unit * unit;
    void* const room = std::aligned_alloc(unit, whole);
    if (!room) throw std::bad_alloc();
    if (unit == kLargePage) prefer_large_pages({static_cast<const std::byte*>(room), whole});
    return static_cast<T*>(room);
  }
  struct Free {
    void operator()(T* room) const { std::free(room); }
  };

  std::unique_ptr<T[], Free> room_;
  size_t size_ = 0, capacity_ = 0;
};

using Floats = Numbers<float>;

}  // namespace wenqu::engine::ops
