// Arrays of a device under test.
#pragma once

#include <gtest/gtest.h>

#include <span>
#include <vector>

#include "tests/engine/cuda/emulator.h"

namespace wenqu::test {

template <typename T>
class Array {
 public:
  // Unwritten.
  Array(Device& device, size_t n) : device_(device), n_(n), data_(static_cast<T*>(*device.allocate(n * sizeof(T)))) {}
  Array(Device& device, std::span<const T> values) : Array(device, values.size()) {
    EXPECT_TRUE(device_.upload(data_, values.data(), values.size_bytes()));
  }
  Array(Device& device, const std::vector<T>& values) : Array(device, std::span<const T>(values)) {}
  Array(const Array&) = delete;
  ~Array() { device_.release(data_); }

  T* data() const { return data_; }
  size_t size() const { return n_; }
  std::vector<T> values() const {
    std::vector<T> out(n_);
    const Status status = device_.download(out.data(), data_, n_ * sizeof(T));
    EXPECT_TRUE(status) << status.to_string();
    return out;
  }

 private:
  Device& device_;
  size_t n_;
  T* data_;
};

}  // namespace wenqu::test
